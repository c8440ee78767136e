#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/on_done.hpp>
#include <memory>
#include <system_error>

#include "core/byte_lock.hpp"
#include "core/timer_wheel.hpp"
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
// withdraw() takes the arrow of delist from `listed`, and no other. The race of a callback that runs while
// another thread destroys it: delist() finds `running`, makes it `awaited` and sleeps; the runner's last
// touch of the callback is the exchange to `over`. The race with itself: delist() called inside f, by the
// runner, sets the flag in the runner's frame, and the runner does not touch the callback again.

namespace curfew::detail {

namespace {

enum state : std::uint8_t { idle, listed, running, awaited, over };

// Where threads sleep that destroy a callback while it runs elsewhere. That is rare, so one place does
// for all; it is never destroyed, because callbacks may outlive static destructors.
threads::waiting_room& room() {
  static auto* made = new threads::waiting_room;
  return *made;
}

}  // namespace

void callback_list::link(ender_node* n, callback* c) noexcept {
  if (callback* first = n->callbacks; first == nullptr) {
    c->next_ = c;
    c->prev_ = c;
    n->callbacks = c;
  } else {
    callback* last = first->prev_;
    c->next_ = first;
    c->prev_ = last;
    first->prev_ = c;
    last->next_ = c;
  }
}

void callback_list::unlink(ender_node* n, callback* c) noexcept {
  callback* next = c->next_;
  callback* prev = c->prev_;
  if (next == c) {
    n->callbacks = nullptr;
  } else {
    if (n->callbacks == c) n->callbacks = next;
    next->prev_ = prev;
    prev->next_ = next;
  }
}

void callback_list::run_all(ender_node* n) noexcept {
  for (;;) {
    bool destroyed = false;
    callback* c = nullptr;
    {
      const byte_lock guard(n->state);
      c = n->callbacks;
      if (c == nullptr) return;
      unlink(n, c);
      c->runner_ = threads::this_thread();
      c->destroyed_ = &destroyed;
      c->state_.store(running, std::memory_order_relaxed);  // read under the lock
    }
    c->invoke_(c);
    if (destroyed) continue;
    // release: f's effects, to the thread whose delist() returns because of it
    if (c->state_.exchange(over, std::memory_order_acq_rel) == awaited) {
      room().tell();
    }
  }
}

void callback::enlist() noexcept {
  ender_node* n = ender_of(ctx_);
  if (!n->can_end()) return;
  {
    const byte_lock guard(n->state);
    if (code_in(guard.bits) == live) {
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
    const byte_lock guard(n->state);
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
    if (runner_ == threads::this_thread()) {
      if (destroying) *destroyed_ = true;
      return false;
    }
  }
  std::uint8_t seen = running;
  if (!state_.compare_exchange_strong(seen, awaited, std::memory_order_acquire) && seen == over) return false;
  room().wait([&] { return state_.load(std::memory_order_acquire) == over; });
  return false;
}

bool callback::withdraw() noexcept {
  ender_node* n = ender_of(ctx_);
  if (!n->can_end()) return state_.exchange(over, std::memory_order_relaxed) == idle;
  const byte_lock guard(n->state);
  // acquire: pairs with the runner's exchange to `over`
  if (state_.load(std::memory_order_acquire) != listed) return false;
  callback_list::unlink(n, this);
  state_.store(over, std::memory_order_relaxed);
  return true;
}

}  // namespace curfew::detail

namespace curfew {

namespace detail {

namespace {

/// Owned until it is taken.
struct event_fd {
  int fd;

  event_fd() : fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd == -1)
      throw std::system_error(errno, std::generic_category(), "curfew: no descriptor for done().fd()");
  }
  event_fd(const event_fd&) = delete;
  event_fd& operator=(const event_fd&) = delete;
  ~event_fd() {
    if (fd != -1) ::close(fd);
  }
};

int descriptor_of(ender_node* n) {
  {
    const byte_lock guard(n->state);
    if (const node_extras* made = n->extras; made != nullptr && made->fd != -1) return made->fd;
  }
  event_fd spare_fd;
  auto spare = std::make_unique<node_extras>();
  int fd = -1;
  {
    const byte_lock guard(n->state);
    if (n->extras == nullptr) n->extras = spare.release();
    node_extras* extras = n->extras;
    if (extras->fd == -1) extras->fd = std::exchange(spare_fd.fd, -1);
    fd = extras->fd;
    if (code_in(guard.bits) == live) return fd;
  }
  make_readable(fd);  // whoever ended it may not have come to that yet, or not have seen the descriptor
  return fd;
}

}  // namespace

node_extras::~node_extras() {
  if (fd != -1) ::close(fd);
}

void make_readable(int fd) noexcept {
  const std::uint64_t one = 1;
  // Fails only if the counter is full: then it is readable.
  [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
}

}  // namespace detail

int done_signal::fd() const {
  if (detail::can_end(ctx_)) return detail::descriptor_of(detail::ender_of(ctx_));
  static const detail::event_fd& never = *new detail::event_fd;  // never closed
  return never.fd;
}

std::error_code done_signal::wait() const noexcept {
  detail::threads::atomic<std::uint32_t> ended{0};  // 32 bits: what a futex takes
  const on_done wake(ctx_, [&]() noexcept {
    detail::tell_unblocked(ctx_);
    ended.store(1, std::memory_order_release);
    ended.notify_one();
  });
  detail::tell_blocked(ctx_);
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
