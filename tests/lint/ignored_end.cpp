#include <curfew/sync/channel.hpp>
#include <curfew/sync/mutex.hpp>
#include <iostream>
#include <system_error>

#include "coroutines.hpp"

using curfew::context;

void step();
void step(const context& ctx);  // which may throw
curfew::result<int> ask(const context& ctx, int id);
int read(const context& ctx, std::error_code& failed);
void wait_or_throw(const context& ctx);
void report(const curfew::error& failed);
asio::awaitable<curfew::result<int>> async_ask(context ctx, int id);

// ---- what it finds

void a_lock_that_is_not_held(const context& ctx, curfew::mutex& mutex, std::vector<int>& numbers) {
  auto lock = mutex.acquire(ctx);
  // CHECK: nothing looks at 'lock': when 'ctx' has ended, the work goes on as if the wait had succeeded
  numbers.push_back(1);
}

void a_wait(const context& ctx) {
  auto slept = curfew::sleep_for(ctx, 1s);
  // CHECK: nothing looks at 'slept'
  step();
}

asio::awaitable<void> in_a_coroutine(context ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);
  const auto slept = co_await curfew::async_sleep_for(scope, 1s);
  // CHECK: nothing looks at 'slept': when 'scope' has ended
  step();
  co_return;
}

auto in_a_lambda(const context& ctx, curfew::mutex& mutex) {
  return [ctx, &mutex] {
    auto lock = mutex.acquire(ctx);
    // CHECK: nothing looks at 'lock'
    step();
  };
}

void held_while_it_is_handed_on(const context& ctx, curfew::mutex& mutex) {
  auto lock = mutex.acquire(ctx);
  // CHECK: nothing looks at 'lock'
  step(ctx);
}

int a_code(const context& ctx) {
  std::error_code failed;
  // CHECK: nothing looks at 'failed'
  const int number = read(ctx, failed);
  return number + 1;
}

void round_and_round(const context& ctx) {
  while (true) {
    std::ignore = curfew::sleep_for(ctx, 1s);
    // CHECK: when 'ctx' has ended, this fails at once, and the loop goes round without a pause
    step();
  }
}

void reports_and_goes_on(const context& ctx, curfew::channel<int>& numbers) {
  for (;;) {
    auto number = numbers.receive(ctx);
    // CHECK: when 'ctx' has ended, this fails at once
    if (!number) {
      std::cerr << number.error() << '\n';
      continue;
    }
    step();
  }
}

asio::awaitable<void> with_a_time_for_each(context ctx) {
  while (true) {
    auto scope = curfew::with_timeout(ctx, 1s);
    const auto got = co_await async_ask(scope, 1);
    // CHECK: when 'scope' has ended, this fails at once
    if (got) step();
  }
}

void catches_all(const context& ctx) {
  while (true) {
    try {
      wait_or_throw(ctx);
      // CHECK: when 'ctx' has ended, this fails at once
      step();
    } catch (const std::exception& failed) {
      std::cerr << failed.what() << '\n';
    }
  }
}

// ---- where it is silent

curfew::result<> looked_at(const context& ctx, curfew::mutex& mutex) {
  auto lock = mutex.acquire(ctx);
  if (!lock) return lock.error();
  step();
  return {};
}

void said_to_be_ignored(const context& ctx) {
  std::ignore = curfew::sleep_for(ctx, 1s);
  [[maybe_unused]] auto slept = curfew::sleep_for(ctx, 1s);
  auto ignored = curfew::sleep_for(ctx, 1s);
  step();
}

void asked_afterwards(const context& ctx, curfew::mutex& mutex) {
  auto lock = mutex.acquire(ctx);
  if (ctx.err()) return;
  step();
}

curfew::result<int> told_by_what_follows(const context& ctx) {
  auto slept = curfew::sleep_for(ctx, 1s);
  return ask(ctx, 1);
}

void nothing_goes_on(const context& ctx) {
  step();
  auto slept = curfew::sleep_for(ctx, 1s);
}

auto captured(const context& ctx) {
  auto got = ask(ctx, 1);
  return [got] { return got.has_value(); };
}

int a_code_that_is_looked_at(const context& ctx) {
  std::error_code failed;
  const int number = read(ctx, failed);
  return failed ? 0 : number;
}

int detached_clean_up(const context& ctx) {
  auto scope = curfew::with_timeout(curfew::without_cancel(ctx), 1s);
  auto slept = curfew::sleep_for(scope, 1s);
  return scope.err() ? 1 : 0;
}

void leaves(const context& ctx) {
  while (true) {
    auto slept = curfew::sleep_for(ctx, 1s);
    if (!slept) break;
    step();
  }
}

void looks(const context& ctx) {
  for (;;) {
    std::ignore = curfew::sleep_for(ctx, 1s);
    if (ctx.err()) return;
  }
}

void throws(const context& ctx) {
  while (true) {
    const int got = ask(ctx, 1).value();
    static_cast<void>(got);
  }
}

void may_throw(const context& ctx) {
  while (true) step(ctx);
}

void lets_another_decide(const context& ctx) {
  while (true) {
    auto got = ask(ctx, 1);
    if (!got) report(got.error());
  }
}

context next_request();
void serves(const context& /*of_the_server*/) {
  while (true) {
    const context ctx = next_request();
    if (auto got = ask(ctx, 1); !got) std::cerr << got.error() << '\n';
  }
}

void catches_another(const context& ctx) {
  while (true) {
    try {
      wait_or_throw(ctx);
    } catch (const int& number) {
      std::cerr << number << '\n';
    }
  }
}

void with_a_condition(const context& ctx, const bool& goes_on) {
  while (goes_on) std::ignore = curfew::sleep_for(ctx, 1s);
}

template <class T>
void in_a_template(const context& ctx, T& of) {
  auto got = of.ask(ctx);
  step();
}

#define WAIT(ctx) auto slept = curfew::sleep_for(ctx, 1s)
void from_a_macro(const context& ctx) {
  WAIT(ctx);
  step();
}

void waived(const context& ctx) {
  auto slept = curfew::sleep_for(ctx, 1s);  // NOLINT(curfew-ignored-end): an early step does no harm
  step();
}
