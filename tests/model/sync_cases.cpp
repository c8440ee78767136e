// The waiting of src/sync, compiled against the model checker, on top of the tree of src/core: each case is a
// race of 2 or 3 threads through the public interface, run in every schedule within its bounds. What sleeps for
// ever is a deadlock to the checker: so a lost wake-up is found by the thread that should have been woken.
//
// Options: see tests/model/run_cases.hpp.

#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/core/detail/manual_time.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/condition.hpp>
#include <curfew/sync/mutex.hpp>
#include <curfew/sync/once.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/sync/semaphore.hpp>
#include <curfew/sync/task_group.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>

#include "model/engine.hpp"
#include "model/run_cases.hpp"

namespace {

using namespace std::chrono_literals;
using curfew::background;
using curfew::channel;
using curfew::context;
using curfew::errc;
using curfew::select;
using curfew::when;
using curfew::model::check;
using curfew::model::parallel;
using curfew::model::plain;

/// What is sent: the checker sees whether its content happens before its use.
struct item {
  std::unique_ptr<plain<int>> number;

  item() = default;
  explicit item(int n) : number(std::make_unique<plain<int>>(n)) {}
  [[nodiscard]] int value() const { return number ? static_cast<int>(*number) : 0; }
};

/// Receives one.
/// \return 0: the context has ended; -1: closed.
int receive_from(const context& ctx, channel<item>& from) {
  const auto got = from.receive(ctx);
  if (!got) return 0;
  return *got ? (*got)->value() : -1;
}

/// Sends one.
/// \return whether it was sent; if not, it is still there.
bool send_to(const context& ctx, channel<item>& to, int n) {
  item it(n);
  const bool sent = to.send(ctx, std::move(it)).has_value();
  check(sent == (it.number == nullptr), "moved from only if sent");
  return sent;
}

// ---- channels ----

void hand_to_hand() {
  channel<item> c;
  int got = 0;
  parallel(
      {[&] { check(send_to(background(), c, 7), "sent"); }, [&] { got = receive_from(background(), c); }});
  check(got == 7, "what was sent is received");
}

void two_senders_one_place() {
  channel<item> c(1);
  int sum = 0;
  parallel({[&] { send_to(background(), c, 1); }, [&] { send_to(background(), c, 2); },
            [&] {
              sum += receive_from(background(), c);
              sum += receive_from(background(), c);
            }});
  check(sum == 3, "both are received");
}

void receive_against_cancel() {
  auto scope = curfew::with_cancel(background());
  channel<item> c;
  int got = 0;
  parallel({[&] { scope.cancel(); }, [&] { got = receive_from(scope, c); }});
  check(got == 0, "nothing to receive");
  check(!c.try_send(item(1)), "no waiter is left in the list");
}

void send_against_cancel_and_receive() {
  auto scope = curfew::with_cancel(background());
  channel<item> c;
  bool sent = false;
  int got = 0;
  parallel({[&] { scope.cancel(); }, [&] { sent = send_to(scope, c, 7); },
            [&] {
              if (auto r = c.try_receive(); r) got = (*r)->value();
            }});
  check(sent == (got == 7), "sent if and only if received");
}

void receive_against_cancel_and_send() {
  auto scope = curfew::with_cancel(background());
  channel<item> c;
  bool sent = false;
  int got = 0;
  parallel({[&] { scope.cancel(); }, [&] { got = receive_from(scope, c); },
            [&] { sent = c.try_send(item(7)).has_value(); }});
  check(sent == (got == 7), "received if and only if sent");
}

void receive_against_close() {
  channel<item> c;
  int got = 0;
  parallel({[&] { c.close(); }, [&] { got = receive_from(background(), c); }});
  check(got == -1, "closed");
}

void send_against_close() {
  channel<item> c;
  bool sent = true;
  parallel({[&] { c.close(); }, [&] { sent = send_to(background(), c, 1); }});
  check(!sent, "closed");
}

void close_against_send_and_receive() {
  channel<item> c(1);
  bool sent = false;
  int got = 0;
  parallel({[&] { c.close(); }, [&] { sent = send_to(background(), c, 7); },
            [&] { got = receive_from(background(), c); }});
  check(sent ? got == 7 : got == -1, "received if it was sent, else closed");
}

void two_receivers_one_item() {
  auto scope = curfew::with_cancel(background());
  channel<item> c;
  int a = 0;
  int b = 0;
  parallel({[&] { a = receive_from(scope, c); }, [&] { b = receive_from(scope, c); },
            [&] {
              send_to(background(), c, 7);
              scope.cancel();
            }});
  check(a + b == 7, "one of them has it");
}

void deadline_against_send() {
  const context root = curfew::detail::make_manual_root();
  const auto scope = curfew::with_timeout(root, 1s);
  channel<item> c;
  bool sent = false;
  int got = 0;
  parallel({[&] { curfew::detail::advance_manual_root(root, 1s); }, [&] { got = receive_from(scope, c); },
            [&] { sent = c.try_send(item(7)).has_value(); }});
  check(sent == (got == 7), "received if and only if sent");
}

// ---- select ----

void select_against_two_senders() {
  channel<item> one;
  channel<item> two;
  auto stop = curfew::with_cancel(background());
  bool from_one = false;
  bool from_two = false;
  int cases = 0;
  parallel({[&] {
              select(when(one.receiving(), [&] { ++cases; }), when(two.receiving(), [&] { ++cases; }));
              stop.cancel();
            },
            [&] { from_one = send_to(stop, one, 1); }, [&] { from_two = send_to(stop, two, 2); }});
  check(cases == 1, "one case");
  check(from_one != from_two, "and one sender has got rid of its item");
}

void two_selects_that_meet() {
  channel<item> one;
  channel<item> two;
  int sent = 0;
  int got = 0;
  const auto both = [&] {
    item a(1);
    item b(2);
    select(when(one.sending_from(a), [&] { ++sent; }), when(two.receiving(), [&] { ++got; }));
  };
  const auto other = [&] {
    item b(2);
    select(when(two.sending_from(b), [&] { ++sent; }), when(one.receiving(), [&] { ++got; }));
  };
  parallel({both, other});
  check(sent == 1 && got == 1, "one item goes from the one to the other");
}

void select_against_cancel_and_send() {
  auto scope = curfew::with_cancel(background());
  channel<item> c;
  bool ended = false;
  int got = 0;
  bool sent = false;
  parallel({[&] {
              select(when(scope.done(), [&] { ended = true; }),
                     when(c.receiving(), [&](std::optional<item> i) { got = i->value(); }));
            },
            [&] { scope.cancel(); }, [&] { sent = c.try_send(item(7)).has_value(); }});
  check(ended != (got == 7), "one of the two");
  check(sent == (got == 7), "received if and only if sent");
}

void select_of_both_sides_of_one_channel() {
  channel<item> c;
  int sent = 0;
  int got = 0;
  const auto both = [&] {
    item a(1);
    select(when(c.sending_from(a), [&] { ++sent; }), when(c.receiving(), [&] { ++got; }));
  };
  parallel({both, both});
  check(sent == 1 && got == 1, "from the one to the other, never to itself");
}

// ---- semaphore ----

bool take(curfew::semaphore& s, std::size_t units = 1) {
  auto got = s.try_acquire(units);
  if (got) got->forget();
  return got.has_value();
}
curfew::result<> take(const context& ctx, curfew::semaphore& s, std::size_t units = 1) {
  auto got = s.acquire(ctx, units);
  if (!got) return std::unexpected(got.error());
  got->forget();
  return {};
}

void release_against_acquire() {
  curfew::semaphore s(1);
  check(take(s), "one unit");
  plain<int> guarded = 0;
  parallel({[&] {
              guarded = 1;
              s.release();
            },
            [&] {
              check(take(background(), s).has_value(), "acquired");
              check(guarded == 1, "what was done before the release");
            }});
}

void grant_against_cancel() {
  auto scope = curfew::with_cancel(background());
  curfew::semaphore s(1);
  check(take(s), "one unit");
  bool held = false;
  parallel({[&] { s.release(); }, [&] { scope.cancel(); }, [&] { held = take(scope, s).has_value(); }});
  check(s.available() == (held ? 0 : 1), "held if and only if acquired");
}

void big_request_leaves_for_a_small_one() {
  auto scope = curfew::with_cancel(background());
  curfew::semaphore s(2);
  check(take(s, 1), "one of two units");
  parallel({[&] { std::ignore = take(scope, s, 2); },
            [&] { check(take(background(), s).has_value(), "it fits"); }, [&] { scope.cancel(); }});
}

void canceled_before_the_release() {
  auto scope = curfew::with_cancel(background());
  curfew::semaphore s(1);
  check(take(s), "one unit");
  parallel({[&] {
              scope.cancel();
              s.release();
            },
            [&] { check(!take(scope, s), "not acquired"); }});
  check(s.available() == 1, "and not kept");
}

void select_canceled_before_the_release() {
  auto scope = curfew::with_cancel(background());
  curfew::semaphore s(1);
  check(take(s), "one unit");
  bool ended = false;
  parallel({[&] {
              scope.cancel();
              s.release();
            },
            [&] {
              select(when(s.acquiring(), [](auto /*permit*/) {}), when(scope.done(), [&] { ended = true; }));
            }});
  check(ended, "the end happened");
  check(s.available() == 1, "and nothing else");
}

// ---- task group ----

/// The pool's queue: a place for one job. Its thread is one of the case.
struct one_job_pool {
  curfew::model::atomic<curfew::detail::pool_job*> queued{nullptr};

  void run_one() {
    for (;;) {
      curfew::detail::pool_job* job = queued.load(std::memory_order_acquire);
      if (job != nullptr && queued.compare_exchange_strong(job, nullptr, std::memory_order_acquire)) {
        job->run(*job);
        return;
      }
      if (closed.load(std::memory_order_acquire)) return;
      curfew::model::relax();
    }
  }

  curfew::model::atomic<bool> closed{false};
};
one_job_pool* the_pool = nullptr;

curfew::thread_pool& no_pool() {  // only its name is needed
  alignas(curfew::thread_pool) static std::byte place[sizeof(curfew::thread_pool)];
  void* at = place;
  return *static_cast<curfew::thread_pool*>(at);
}

template <class Body>
void with_pool_thread(Body body) {
  one_job_pool pool;
  the_pool = &pool;
  parallel({[&] {
              body();
              pool.closed.store(true, std::memory_order_release);
            },
            [&] { pool.run_one(); }});
}

void join_against_the_thread_that_runs_the_task() {
  with_pool_thread([] {
    plain<int> done = 0;
    curfew::task_group group(background(), curfew::task_group::limit(2), no_pool());
    group.spawn([&](const context&) { done = 1; });
    check(group.join().has_value(), "joined");
    check(done == 1, "what the task did");
  });
}

void group_that_is_destroyed_once_joined() {
  with_pool_thread([] {
    curfew::model::atomic<int> ran{0};
    {
      curfew::task_group group(background(), curfew::task_group::limit(2), no_pool());
      group.spawn([&](const context&) { ran.fetch_add(1, std::memory_order_relaxed); });
      group.spawn([&](const context&) { ran.fetch_add(1, std::memory_order_relaxed); });
      std::ignore = group.join();
    }
    check(ran.load(std::memory_order_relaxed) == 2, "both ran");
  });
}

void first_error_of_two_tasks() {
  with_pool_thread([] {
    curfew::task_group group(background(), curfew::task_group::limit(2), no_pool());
    const auto fail = [](const context&) -> curfew::result<> {
      return std::unexpected(curfew::error(std::make_error_code(std::errc::io_error)));
    };
    group.spawn(fail);
    group.spawn(fail);
    const auto joined = group.join();
    check(!joined && joined.error() == std::errc::io_error, "the error");
    check(static_cast<bool>(group.ctx().err()), "the rest is canceled");
  });
}

// ---- condition ----

/// What waits for `ready`, and is guarded by `m`.
struct gate {
  curfew::mutex m;
  curfew::condition changed;
  plain<bool> ready{false};

  curfew::result<> wait(const context& ctx) {
    auto lock = m.acquire(background());  // NOLINT(curfew-background-in-request): the wait alone may end
    return changed.wait(ctx, *lock, [&] { return static_cast<bool>(ready); });
  }
  void open() {
    {
      const auto lock = m.acquire(background());
      ready = true;
    }
    changed.notify_one();
  }
};

void notify_against_wait() {
  gate g;
  parallel({[&] { g.open(); }, [&] { check(g.wait(background()).has_value(), "notified"); }});
}

void notification_that_meets_a_cancel() {
  auto scope = curfew::with_cancel(background());
  gate g;
  parallel({[&] {
              auto lock = g.m.acquire(background());
              if (g.changed.wait(scope, *lock)) g.changed.notify_one();  // else it went to the other
            },
            [&] { check(g.wait(background()).has_value(), "notified"); },
            [&] {
              scope.cancel();
              g.open();
            }});
}

void canceled_before_the_notification() {
  auto scope = curfew::with_cancel(background());
  gate g;
  parallel({[&] {
              auto lock = g.m.acquire(background());
              check(!g.changed.wait(scope, *lock), "not notified");
            },
            [&] {
              scope.cancel();
              g.open();
            }});
}

// ---- once ----

void once_for_two() {
  curfew::once o;
  plain<int> made = 0;
  const auto both = [&] {
    const auto make = [&](const context&) { made = made + 1; };
    check(o.call(background(), make).has_value(), "done");
    check(made == 1, "once, and before the call returns");
  };
  parallel({both, both});
}

void once_whose_first_fails() {
  curfew::once o;
  plain<int> runs = 0;
  curfew::model::atomic<int> failed{0};
  const auto both = [&] {
    const auto make = [&](const context&) -> curfew::result<> {
      runs = runs + 1;
      if (runs == 1) return std::unexpected(curfew::error(std::make_error_code(std::errc::io_error)));
      return {};
    };
    if (!o.call(background(), make)) failed.fetch_add(1, std::memory_order_relaxed);
  };
  parallel({both, both});
  check(runs == 2 && o.succeeded(), "the second tries");
  check(failed.load(std::memory_order_relaxed) == 1, "the first is told");
}

void once_against_cancel() {
  auto scope = curfew::with_cancel(background());
  curfew::once o;
  const auto nothing = [](const context&) {};
  parallel({[&] { scope.cancel(); }, [&] { std::ignore = o.call(scope, nothing); },
            [&] { check(o.call(background(), nothing).has_value(), "done"); }});
}

#define CASE(name, preemptions, stale_reads) {#name, name, preemptions, stale_reads}
constexpr curfew::model::model_case cases[] = {
    CASE(hand_to_hand, 4, 1),
    CASE(two_senders_one_place, 2, 1),
    CASE(receive_against_cancel, 3, 1),
    CASE(send_against_cancel_and_receive, 2, 1),
    CASE(receive_against_cancel_and_send, 2, 1),
    CASE(receive_against_close, 4, 1),
    CASE(send_against_close, 4, 1),
    CASE(close_against_send_and_receive, 2, 1),
    CASE(two_receivers_one_item, 2, 0),
    CASE(deadline_against_send, 2, 1),
    CASE(select_against_two_senders, 2, 0),
    CASE(two_selects_that_meet, 3, 1),
    CASE(select_against_cancel_and_send, 2, 1),
    CASE(select_of_both_sides_of_one_channel, 3, 1),
    CASE(release_against_acquire, 4, 1),
    CASE(grant_against_cancel, 2, 1),
    CASE(big_request_leaves_for_a_small_one, 2, 1),
    CASE(canceled_before_the_release, 3, 1),
    CASE(select_canceled_before_the_release, 2, 1),
    CASE(join_against_the_thread_that_runs_the_task, 3, 1),
    CASE(group_that_is_destroyed_once_joined, 2, 1),
    CASE(first_error_of_two_tasks, 2, 1),
    CASE(notify_against_wait, 3, 1),
    CASE(notification_that_meets_a_cancel, 2, 0),
    CASE(canceled_before_the_notification, 2, 1),
    CASE(once_for_two, 3, 1),
    CASE(once_whose_first_fails, 3, 1),
    CASE(once_against_cancel, 2, 1),
};
#undef CASE

}  // namespace

namespace curfew {

thread_pool& thread_pool::shared() { return no_pool(); }

void detail::pool_access::prepare(thread_pool& /*pool*/) {}

void detail::pool_access::enqueue(thread_pool& /*pool*/, pool_job& job, bool /*blocks*/) noexcept {
  the_pool->queued.store(&job, std::memory_order_release);
}

bool detail::pool_access::withdraw(thread_pool& /*pool*/, pool_job& job) noexcept {
  pool_job* expected = &job;
  return the_pool->queued.compare_exchange_strong(expected, nullptr, std::memory_order_acquire);
}

}  // namespace curfew

int main(int argc, char** argv) {
  auto scope = curfew::with_cancel(background());  // what the library makes once for the process
  scope.cancel();
  std::ignore = scope.cause();
  const auto late = curfew::with_timeout(curfew::detail::make_manual_root(), 0s);
  std::ignore = late.cause();
  return curfew::model::run_cases("curfew_model_sync", argc, argv, cases);
}
