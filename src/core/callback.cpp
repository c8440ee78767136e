#include <curfew/core/on_done.hpp>

#include "core/byte_lock.hpp"
#include "core/tree.hpp"

// A callback's life. Every arrow but the last two is made under the lock of its node.
//
//            enlist              run_callbacks           run_callbacks, after f
//   idle ───────────────► listed ───────────► running ───────────────────► over
//     │                     │                    │ delist, other thread       ▲
//     │ enlist, ended       │ delist             ▼                            │
//     ▼                     ▼                 awaited ────────────────────────┘
//   over                   over                       run_callbacks, after f; wakes
//
// withdraw() takes the arrow of delist from `listed`, and no other. A callback may be destroyed by another thread
// while it runs: delist() finds `running`, makes it `awaited` and sleeps; the last touch of the callback by the
// thread that runs it is the exchange to `over`. Or it may be destroyed inside f: delist() is called by the thread
// that runs it, sets the flag in that thread's frame, and the thread does not touch the callback again.

namespace curfew::detail {

namespace {

enum state : std::uint8_t { idle, listed, running, awaited, over };

// Where threads sleep that destroy a callback while it runs elsewhere. That is rare, so all share one room. It is
// never destroyed, because callbacks may outlive static destructors.
threads::waiting_room& room() {
  static auto* made = new threads::waiting_room;
  return *made;
}

}  // namespace

void run_callbacks(ender_node* n) noexcept {
  for (;;) {
    bool destroyed = false;
    callback* c = nullptr;
    {
      const byte_lock guard(n->state);
      c = n->callbacks.pop_front();
      if (c == nullptr) return;
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
      n->callbacks.push_back(*this);
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
        n->callbacks.remove(*this);
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
  n->callbacks.remove(*this);
  state_.store(over, std::memory_order_relaxed);
  return true;
}

}  // namespace curfew::detail
