// Go's idioms around a context, in C++. docs/guide/from-go.md shows each beside its original.

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/sync.hpp>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

using namespace std::chrono_literals;
using curfew::context;
using curfew::when;

namespace {

curfew::result<> produce(const context& ctx, curfew::channel<int>& out) {
  for (int i = 1; i <= 3; ++i) {
    if (auto sent = out.send(ctx, i); !sent) return sent;
  }
  out.close();
  return {};
}

int range_over_a_channel(const context& ctx) {
  curfew::channel<int> numbers;
  curfew::task_group group(ctx);
  group.spawn([&](const context& own) { return produce(own, numbers); });
  int sum = 0;
  for (int n : curfew::drain(ctx, numbers)) sum += n;
  return sum;
}

std::string select_with_default(curfew::channel<int>& numbers) {
  std::string what;
  curfew::select(when(numbers.receiving(), [&](std::optional<int> n) { what = std::to_string(n.value()); }),
                 curfew::otherwise([&] { what = "nothing there"; }));
  return what;
}

std::string select_with_timeout(const context& ctx, curfew::channel<int>& numbers) {
  std::string what;
  curfew::select(when(numbers.receiving(), [&] { what = "a number"; }),
                 when(ctx.done(), [&](std::error_code err) { what = err.message(); }),
                 when(curfew::after(5ms), [&] { what = "late"; }));
  return what;
}

curfew::result<> errgroup(const context& ctx, const std::vector<int>& inputs, std::vector<int>& squares) {
  curfew::task_group group(ctx, curfew::task_group::limit(4));
  for (std::size_t i = 0; i != inputs.size(); ++i) {
    group.spawn([&, i](const context& own) -> curfew::result<> {
      if (own.err()) return curfew::error::ended(own);
      squares[i] = inputs[i] * inputs[i];
      return {};
    });
  }
  return group.join();
}

curfew::result<std::string> first_answer(const context& ctx) {
  const auto slow = [](const context& own) -> curfew::result<std::string> {
    if (auto slept = curfew::sleep_for(own, 10min); !slept) return slept.error();
    return "slow";
  };
  const auto quick = [](const context&) -> curfew::result<std::string> { return "quick"; };
  return curfew::race(ctx, slow, quick);
}

std::string ticks(const context& ctx) {
  curfew::ticker every(ctx, 1ms);
  int count = 0;
  while (count != 3 && every.next(ctx)) ++count;
  return std::to_string(count) + " ticks";
}

curfew::result<> with_a_mutex(const context& ctx, curfew::mutex& mutex, int& guarded) {
  auto lock = mutex.acquire(ctx);
  if (!lock) return lock.error();  // Go's Lock waits for ever
  ++guarded;
  return {};
}

std::string channel_that_is_left_out(curfew::channel<int>& a, curfew::channel<int>& b) {
  std::string order;
  bool a_open = true;
  bool b_open = true;
  while (a_open || b_open) {
    curfew::case_list cases;  // made anew: Go sets the channel to nil
    if (a_open) {
      cases.when(a.receiving(), [&](std::optional<int> n) { n ? void(order += 'a') : void(a_open = false); });
    }
    if (b_open) {
      cases.when(b.receiving(), [&](std::optional<int> n) { n ? void(order += 'b') : void(b_open = false); });
    }
    curfew::select(cases);
  }
  return order;
}

curfew::result<int> with_retries(const context& ctx) {
  int tries = 0;
  const auto policy = curfew::retry_policy().initial(1ms).max_tries(5);
  return curfew::retry(ctx, policy, [&](const context&) -> curfew::result<int> {
    if (++tries < 3) return curfew::error(std::make_error_code(std::errc::connection_refused));
    return tries;
  });
}

}  // namespace

int main() {
  auto scope = curfew::with_timeout(curfew::background(), 1min);
  std::cout << "range: " << range_over_a_channel(scope) << '\n';

  curfew::channel<int> numbers(1);
  std::cout << "default: " << select_with_default(numbers) << '\n';
  std::cout << "timeout: " << select_with_timeout(scope, numbers) << '\n';

  std::vector<int> squares(3);
  std::cout << "errgroup: " << errgroup(scope, {1, 2, 3}, squares).has_value() << ' ' << squares[2] << '\n';
  std::cout << "race: " << first_answer(scope).value() << '\n';
  std::cout << "ticker: " << ticks(scope) << '\n';

  curfew::mutex mutex;
  int guarded = 0;
  std::cout << "mutex: " << with_a_mutex(scope, mutex, guarded).has_value() << ' ' << guarded << '\n';

  curfew::channel<int> a(2);
  curfew::channel<int> b(2);
  for (auto* each : {&a, &b}) {
    if (!each->try_send(1)) return 1;
    each->close();
  }
  std::cout << "left out: " << channel_that_is_left_out(a, b).size() << " items\n";
  std::cout << "retry: " << with_retries(scope).value() << " tries\n";
}
