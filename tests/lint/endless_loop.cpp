#include <unistd.h>

#include <atomic>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/select.hpp>
#include <functional>
#include <thread>

#include "coroutines.hpp"

using curfew::context;

namespace boost::asio {

class basic_waitable_timer {
 public:
  explicit basic_waitable_timer(io_context&);
  void expires_after(curfew::clock::duration d);
  awaitable<void> async_wait();
  awaitable<void> async_wait(context ctx);
};
using steady_timer = basic_waitable_timer;

}  // namespace boost::asio

bool connect();
void step();
void step(const context& ctx);
int read_some();
asio::awaitable<bool> async_connect();
asio::awaitable<int> async_accept();

class pump {
 public:
  explicit pump(context ctx);
  void step();
};

// ---- what it finds

void never_looks(const context& ctx) {
  step(ctx);
  while (true) {
    // CHECK: this loop has no end, and does not look at 'ctx'
    step();
  }
}

void for_ever(const context& ctx) {
  if (ctx.err()) return;
  for (int i = 0;; ++i) {
    // CHECK: this loop has no end
    switch (i) {
      case 0:
        break;
      default:
        step();
    }
  }
}

void do_while(curfew::cancel_scope scope) {
  do {
    // CHECK: this loop has no end, and does not look at 'scope'
    for (int i = 0; i < 3; ++i) {
      if (i == 2) break;
      step();
    }
  } while (true);
}

asio::awaitable<void> accepts(context ctx) {
  step(ctx);
  for (;;) {
    // CHECK: this loop has no end
    const int fd = co_await async_accept();
    static_cast<void>(fd);
  }
}

auto captured(const context& ctx) {
  return [ctx] {
    step(ctx);
    while (true) step();
    // CHECK: this loop has no end
  };
}

asio::awaitable<bool> tries_again(context ctx, asio::io_context& io) {
  asio::steady_timer timer(io);
  step(ctx);
  while (true) {
    // CHECK: this loop tries again for as long as it takes, and does not look at 'ctx'
    if (co_await async_connect()) co_return true;
    timer.expires_after(1s);
    co_await timer.async_wait();
  }
}

void sleeps(const context& ctx) {
  step(ctx);
  for (;;) {
    // CHECK: tries again for as long as it takes
    if (connect()) return;
    std::this_thread::sleep_for(1s);
  }
}

// ---- where it is silent

void looks(const context& ctx) {
  while (true) {
    if (ctx.err()) return;
    step();
  }
}

curfew::result<> waits_through_it(const context& ctx) {
  for (;;) {
    if (auto slept = curfew::sleep_for(ctx, 1s); !slept) return slept.error();
    step();
  }
}

void hands_it_on(const context& ctx) {
  while (true) step(ctx);
}

void a_case_of_a_select(const context& ctx, curfew::channel<int>& numbers) {
  const auto done = ctx.done();
  for (bool goes_on = true; goes_on;) {
    curfew::select(curfew::when(done, [&] { goes_on = false; }), curfew::when(numbers.receiving(), [] {}));
  }
  for (;;) {
    if (curfew::select(curfew::when(done, [] {}), curfew::when(numbers.receiving(), [] {})) == 0) return;
  }
}

void rearms(const context& ctx) {
  while (true) {
    auto scope = curfew::with_timeout(ctx, 1s);
    step(scope);
  }
}

void with_what_was_made_from_it(const context& ctx) {
  pump of(ctx);
  while (true) of.step();
}

auto with_what_was_made_around(const context& ctx) {
  auto of = std::make_shared<pump>(ctx);
  auto work = [of, ctx] {
    step(ctx);
    while (true) of->step();
  };
  return work;
}

class worker {
 public:
  void run(const context& ctx) {
    begin(ctx);
    while (true) go_on();
  }
  void run_under(context ctx) {
    ctx_ = std::move(ctx);
    while (true) go_on();
  }

 private:
  void begin(const context& ctx);
  void go_on();
  context ctx_ = curfew::background();
};

void interrupted(const context& ctx, std::atomic<bool>& stopped, int fd) {
  curfew::on_done stop(ctx, [&stopped, fd]() noexcept {
    stopped = true;
    ::close(fd);
  });
  while (true) step();
}

void as_much_as_there_is(const context& ctx) {
  step(ctx);
  while (true) {
    if (read_some() == 0) break;
  }
}

void compare_and_exchange(const context& ctx, std::atomic<int>& number) {
  step(ctx);
  int seen = number.load();
  for (;;) {
    if (number.compare_exchange_weak(seen, seen + 1)) return;
  }
}

bool a_number_of_times(const context& ctx) {
  step(ctx);
  int tries = 0;
  while (true) {
    if (connect()) return true;
    if (++tries == 5) return false;
    ::usleep(1000);
  }
}

bool until_a_time(const context& ctx, curfew::clock::time_point last) {
  step(ctx);
  while (true) {
    if (connect()) return true;
    if (curfew::clock::now() > last) return false;
    ::usleep(1000);
  }
}

void with_a_condition(const context& ctx, std::atomic<bool>& ready) {
  step(ctx);
  while (!ready) step();
}

void no_context() {
  while (true) step();
}

void unnamed(const context&) {
  while (true) step();
}

void in_a_thread_of_its_own(const context& ctx) {
  std::thread([] {
    while (true) step();
  }).detach();
  step(ctx);
}

template <class T>
void in_a_template(const context& ctx, T& of) {
  while (true) of.step(ctx);
}

#define FOREVER for (;;)
void from_a_macro(const context& ctx) {
  step(ctx);
  FOREVER step();
}

void waived(const context& ctx) {
  step(ctx);
  while (true) step();  // NOLINT(curfew-endless-loop): the process ends it
}
