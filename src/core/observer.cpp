#include <curfew/core/observer.hpp>

#include <array>
#include <curfew/core/context.hpp>
#include <tuple>

#include "core/tree.hpp"

// Invariants
//  1. A slot is one observation's while it is `taken`, and stays in the list for good: no thread that walks the
//     list meets one that is gone.
//  2. A function of an observer is called between an increment and a decrement of one of its slot's counters, if
//     `told` is still set after the increment. The end of an observation resets `told` and then waits until each
//     counter has been 0. Both are seq_cst: so either the caller sees that `told` is null, or the end of the
//     observation sees the increment. A slot whose `told` is null is not entered again, so the wait is short.

namespace curfew {

namespace detail {

constinit threads::atomic<unsigned> observations{0};

/// The place of one observation.
struct observer_slot {
  // One for each of several cores, so that threads that are observed seldom meet.
  struct alignas(64) counter {
    threads::atomic<unsigned> calls{0};
  };
  static constexpr unsigned count = threads::child_lists;

  threads::atomic<observer*> told{nullptr};
  threads::atomic<bool> taken{true};
  observer_slot* next = nullptr;
  std::array<counter, count> under_way{};
};

namespace {

constinit threads::atomic<observer_slot*> slots{nullptr};

observer_slot* free_slot() {
  // acquire: pairs with the release of the push
  observer_slot* first = slots.load(std::memory_order_acquire);
  for (observer_slot* s = first; s != nullptr; s = s->next) {
    // acquire: pairs with the release in the destructor of the observation that had it
    if (!s->taken.exchange(true, std::memory_order_acquire)) return s;
  }
  auto* made = new observer_slot;
  do {
    made->next = first;
  } while (!slots.compare_exchange_weak(first, made, std::memory_order_release, std::memory_order_acquire));
  return made;
}

template <class F>
void tell_each(F f) noexcept {
  for (observer_slot* s = slots.load(std::memory_order_acquire); s != nullptr; s = s->next) {
    if (s->told.load(std::memory_order_relaxed) == nullptr) continue;
    threads::atomic<unsigned>& calls = s->under_way[threads::core() % observer_slot::count].calls;
    calls.fetch_add(1, std::memory_order_seq_cst);
    if (observer* o = s->told.load(std::memory_order_seq_cst); o != nullptr) f(*o);
    calls.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace

void tell_derived(const context& made) noexcept {
  tell_each([&](observer& o) { o.derived(made); });
}

void tell_ended(ender_node* n) noexcept {
  if (n->kind == node_kind::link) return;
  context which = tree::adopt(n);  // the caller's reference, for a moment
  tell_each([&](observer& o) { o.ended(which); });
  std::ignore = tree::give_up(which);
}

void tell_destroyed(const node* n) noexcept {
  if (n->kind == node_kind::link || n->kind == node_kind::root) return;
  tell_each([&](observer& o) { o.destroyed(n); });
}

}  // namespace detail

void observer::derived(const context& /*made*/) noexcept {}
void observer::ended(const context& /*which*/) noexcept {}
void observer::destroyed(const void* /*id*/) noexcept {}

const void* context_id(const context& ctx) noexcept { return detail::tree::of(ctx); }

observation::observation(observer& told) : slot_(detail::free_slot()) {
  slot_->told.store(&told, std::memory_order_seq_cst);
  detail::observations.fetch_add(1, std::memory_order_relaxed);
}

observation::~observation() {
  detail::observations.fetch_sub(1, std::memory_order_relaxed);
  slot_->told.store(nullptr, std::memory_order_seq_cst);
  for (auto& each : slot_->under_way) {
    for (unsigned tries = 0; each.calls.load(std::memory_order_seq_cst) != 0; ++tries) {
      detail::threads::relax(tries);
    }
  }
  slot_->taken.store(false, std::memory_order_release);
}

}  // namespace curfew
