// Which block a thread has: a variable of the thread, in a file of its own, since the model checker's threads have none.

#include <atomic>
#include <tuple>
#include <utility>

#include "inspect/thread_block.hpp"

namespace curfew::inspect {

namespace {

constinit std::atomic<thread_block*> blocks{nullptr};

thread_block* free_block() noexcept {
  thread_block* first = first_block();
  for (thread_block* b = first; b != nullptr; b = b->next) {
    // acquire: pairs with the release of the thread that had it
    if (!b->taken.load(std::memory_order_relaxed) && !b->taken.exchange(true, std::memory_order_acquire))
      return b;
  }
  auto* made =
      new thread_block;  // NOLINT(bugprone-unhandled-exception-at-new): terminates without memory for it
  do {
    made->next = first;
  } while (!blocks.compare_exchange_weak(first, made, std::memory_order_release, std::memory_order_acquire));
  return made;
}

constinit thread_local thread_block* own = nullptr;

/// Gives the block back at the end of the thread.
struct block_holder {
  ~block_holder() {
    thread_block* b = std::exchange(own, nullptr);
    b->leave();
    detail::current_task = {};
    b->taken.store(false, std::memory_order_release);
  }
};

[[gnu::noinline]] thread_block& join_in() noexcept {
  own = free_block();
  own->enter();
  // What a thread does while its last variables are destroyed takes a block that is not given back.
  static thread_local const block_holder until_the_end;
  std::ignore = &until_the_end;
  return *own;
}

}  // namespace

thread_block& own_block() noexcept { return own != nullptr ? *own : join_in(); }

thread_block* first_block() noexcept { return blocks.load(std::memory_order_acquire); }

}  // namespace curfew::inspect
