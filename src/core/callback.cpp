#include <condition_variable>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/on_done.hpp>
#include <mutex>

#include "core/byte_lock.hpp"
#include "core/tree.hpp"

// A callback's life. Every arrow but the last two is made under the lock of its node.
//
//            enlist                run_all               run_all, after f
//   idle ───────────────► listed ───────────► running ───────────────────► over
//     │                     │                    │ delist, other thread       ▲
//     │ enlist, ended       │ delist             ▼                            │
//     ▼                     ▼                 awaited ────────────────────────┘
//   over                   over                          run_all, after f; wakes
//
// The race of a callback that runs while another thread destroys it: delist() finds `running`, makes it
// `awaited` and sleeps; the runner's last touch of the callback is the exchange to `over`. The race with
// itself: delist() called inside f, by the runner, sets the flag in the runner's frame, and the runner
// does not touch the callback again.

namespace curfew::detail {

namespace {

enum state : std::uint8_t { idle, listed, running, awaited, over };

// Where threads sleep that destroy a callback while it runs elsewhere. That is rare, so one place does
// for all; it is never destroyed, because callbacks may outlive static destructors.
struct waiting_room {
  std::mutex mutex;
  std::condition_variable changed;

  static waiting_room& get() {
    static auto* room = new waiting_room;
    return *room;
  }
};

}  // namespace

void callback_list::link(ender_node* n, callback* c) noexcept {
  if (callback* first = n->callbacks; first == nullptr) {
    n->callbacks = c->next_ = c->prev_ = c;
  } else {
    c->next_ = first;
    c->prev_ = std::exchange(first->prev_, c);
    c->prev_->next_ = c;
  }
}

void callback_list::unlink(ender_node* n, callback* c) noexcept {
  if (c->next_ == c) {
    n->callbacks = nullptr;
  } else {
    if (n->callbacks == c) n->callbacks = c->next_;
    c->next_->prev_ = c->prev_;
    c->prev_->next_ = c->next_;
  }
}

void callback_list::run_all(ender_node* n) noexcept {
  for (;;) {
    bool destroyed = false;
    callback* c = nullptr;
    {
      const byte_lock guard(n->lock);
      c = n->callbacks;
      if (c == nullptr) return;
      unlink(n, c);
      c->runner_ = std::this_thread::get_id();
      c->destroyed_ = &destroyed;
      c->state_.store(running, std::memory_order_relaxed);  // read under the lock
    }
    c->invoke_(c);
    if (destroyed) continue;
    // release: f's effects, to the thread whose delist() returns because of it
    if (c->state_.exchange(over, std::memory_order_acq_rel) == awaited) {
      waiting_room& room = waiting_room::get();
      {
        const std::lock_guard in(room.mutex);
      }
      room.changed.notify_all();
    }
  }
}

void callback::enlist() noexcept {
  ender_node* n = ender_of(ctx_);
  if (!n->can_end()) return;
  {
    const byte_lock guard(n->lock);
    if (n->ended.load(std::memory_order_relaxed) == live) {
      state_.store(listed, std::memory_order_relaxed);
      callback_list::link(n, this);
      return;
    }
  }
  state_.store(over, std::memory_order_relaxed);
  invoke_(this);
}

bool callback::delist(bool destroying) noexcept {
  ender_node* n = ender_of(ctx_);
  if (!n->can_end())
    return state_.exchange(over, std::memory_order_relaxed) == idle;  // it was never in a list
  {
    const byte_lock guard(n->lock);
    switch (state_.load(std::memory_order_acquire)) {  // acquire: pairs with the runner's exchange to `over`
      case listed:
        callback_list::unlink(n, this);
        state_.store(over, std::memory_order_relaxed);
        return true;
      case over:
        return false;
      default:
        break;
    }
    if (runner_ == std::this_thread::get_id()) {
      if (destroying) *destroyed_ = true;
      return false;
    }
  }
  std::uint8_t seen = running;
  if (!state_.compare_exchange_strong(seen, awaited, std::memory_order_acquire) && seen == over) return false;
  waiting_room& room = waiting_room::get();
  std::unique_lock in(room.mutex);
  room.changed.wait(in, [&] { return state_.load(std::memory_order_acquire) == over; });
  return false;
}

}  // namespace curfew::detail

namespace curfew {

std::error_code done_signal::wait() const noexcept {
  std::atomic<std::uint32_t> ended{0};  // 32 bits: what a futex takes
  const on_done wake(ctx_, [&]() noexcept {
    ended.store(1, std::memory_order_release);
    ended.notify_one();
  });
  ended.wait(0, std::memory_order_acquire);
  return ctx_.err();
}

std::error_code done_signal::wait_for(clock::duration timeout) const {
  const cancel_scope either = with_timeout(ctx_, timeout);
  either.done().wait();
  return ctx_.err();
}

std::error_code done_signal::wait_until(clock::time_point deadline) const {
  const cancel_scope either = with_deadline(ctx_, deadline);
  either.done().wait();
  return ctx_.err();
}

}  // namespace curfew
