// Work on what arrives, until there is no more or nobody wants it any more: a queue whose reader waits for
// the next item and for the end of its context at the same time.

#include <chrono>
#include <condition_variable>
#include <curfew/core.hpp>
#include <deque>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

using namespace std::chrono_literals;

namespace {

/// Items from one thread to another.
class string_queue {
 public:
  void send(std::string item) {
    const std::lock_guard guard(mutex_);
    items_.push_back(std::move(item));
    changed_.notify_one();
  }

  void close() {
    const std::lock_guard guard(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  /// Waits for an item; none once it is closed and drained. Error: the end of ctx, which takes nothing.
  curfew::result<std::optional<std::string>> receive(const curfew::context& ctx) {
    std::unique_lock lock(mutex_);
    const bool ready = changed_.wait(lock, ctx.stop_token(), [&] { return closed_ || !items_.empty(); });
    if (!ready) return std::unexpected(curfew::error::ended(ctx, "receive"));
    if (items_.empty()) return std::nullopt;
    std::string item = std::move(items_.front());
    items_.pop_front();
    return item;
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::string> items_;  // guarded by mutex_
  bool closed_ = false;            // guarded by mutex_
};

std::error_code process_stream(const curfew::context& ctx, string_queue& data) {
  for (;;) {
    auto item = data.receive(ctx);          // result<std::optional<std::string>>
    if (!item) return item.error().code();  // canceled or deadline_exceeded
    if (!*item) return {};                  // closed and drained
    std::cout << "processing: " << **item << '\n';
  }
}

std::string outcome(std::error_code err) { return err ? err.message() : "done"; }

}  // namespace

int main() {
  {
    string_queue data;
    std::jthread producer([&] {
      for (const char* item : {"one", "two", "three"}) data.send(item);
      data.close();
    });
    std::cout << outcome(process_stream(curfew::background(), data)) << '\n';
  }
  {
    string_queue data;
    data.send("four");
    const auto scope = curfew::with_timeout(curfew::background(), 20ms);
    std::cout << outcome(process_stream(scope, data)) << '\n';
  }
  {
    string_queue data;
    auto scope = curfew::with_cancel(curfew::background());
    std::jthread user([&] { scope.cancel(); });
    std::cout << outcome(process_stream(scope, data)) << '\n';
  }
}
