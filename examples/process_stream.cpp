// Work on what arrives, until there is no more or nobody wants it any more: select over a channel and the end
// of the context.

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/sync.hpp>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>

using namespace std::chrono_literals;

namespace {

std::error_code process_stream(const curfew::context& ctx, curfew::channel<std::string>& data) {
  for (;;) {
    auto item = data.receive(ctx);          // result<std::optional<std::string>>
    if (!item) return item.error().code();  // canceled or deadline_exceeded
    if (!*item) return {};                  // closed and drained
    std::cout << "processing: " << **item << '\n';
  }
}

/// The general form: exactly one case happens, the others leave no trace.
std::string select_once(const curfew::context& ctx, curfew::channel<std::string>& data,
                        curfew::channel<int>& results) {
  using curfew::when;
  std::string happened;
  curfew::select(
      when(ctx.done(), [&] { happened = "the end"; }),
      when(data.receiving(), [&](std::optional<std::string> item) { happened = "received " + item.value(); }),
      when(results.sending(42), [&] { happened = "sent 42"; }),
      when(curfew::after(20ms), [&] { happened = "nothing for 20 ms"; }));
  return happened;
}

std::string outcome(std::error_code err) { return err ? err.message() : "done"; }

}  // namespace

int main() {
  {
    curfew::channel<std::string> data;
    curfew::task_group group(curfew::background());
    group.spawn([&](const curfew::context& ctx) -> curfew::result<> {
      for (const char* item : {"one", "two", "three"}) {
        if (auto sent = data.send(ctx, item); !sent) return sent;
      }
      data.close();
      return {};
    });
    std::cout << outcome(process_stream(curfew::background(), data)) << '\n';
  }
  {
    curfew::channel<std::string> data(1);
    if (!data.try_send("four")) return 1;
    const auto scope = curfew::with_timeout(curfew::background(), 20ms);
    std::cout << outcome(process_stream(scope, data)) << '\n';
  }
  {
    curfew::channel<std::string> data;
    auto scope = curfew::with_cancel(curfew::background());
    curfew::task_group user(curfew::background());
    user.spawn([&](const curfew::context& /*ctx*/) { scope.cancel(); });
    std::cout << outcome(process_stream(scope, data)) << '\n';
  }
  {
    curfew::channel<std::string> data(1);
    curfew::channel<int> results;
    auto scope = curfew::with_cancel(curfew::background());
    std::cout << select_once(scope, data, results) << '\n';
    if (!data.try_send("five")) return 1;
    std::cout << select_once(scope, data, results) << '\n';
    scope.cancel();
    std::cout << select_once(scope, data, results) << '\n';
  }
}
