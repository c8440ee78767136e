#include <array>

#include "inspect/record.hpp"

namespace curfew::inspect::records {

namespace {

constexpr std::size_t most_slabs = std::size_t{1} << 17U;  // 134 million records
constexpr std::size_t batch = in_a_slab / 8;

template <class T>
using atomic = detail::threads::atomic<T>;

// Never destroyed: threads that end last use them.
constinit atomic<std::uint8_t> lock{0};
constinit detail::threads::plain<task_record*> free_ones = nullptr;  // guarded by lock
constinit atomic<std::size_t> count{0};                              // of slabs
constinit std::array<atomic<task_record*>, most_slabs> slabs{};

}  // namespace

task_record* take_some() noexcept {
  const brief_lock guard(lock);
  if (free_ones == nullptr) {
    const std::size_t index = count.load(std::memory_order_relaxed);
    if (index == most_slabs) return nullptr;
    auto* made = new (std::nothrow) task_record[in_a_slab];
    if (made == nullptr) return nullptr;
    for (std::size_t i = 0; i + 1 != in_a_slab; ++i) made[i].next = &made[i + 1];
    free_ones = made;
    slabs[index].store(made, std::memory_order_relaxed);
    count.store(index + 1, std::memory_order_release);  // pairs: slab_count()
  }
  task_record* first = free_ones;
  task_record* last = first;
  for (std::size_t i = 1; i != batch && last->next != nullptr; ++i) last = last->next;
  free_ones = last->next;
  last->next = nullptr;
  return first;
}

void give_back(task_record* first) noexcept {
  if (first == nullptr) return;
  task_record* last = first;
  while (last->next != nullptr) last = last->next;
  const brief_lock guard(lock);
  last->next = free_ones;
  free_ones = first;
}

std::size_t slab_count() noexcept { return count.load(std::memory_order_acquire); }

task_record* slab(std::size_t index) noexcept { return slabs[index].load(std::memory_order_relaxed); }

}  // namespace curfew::inspect::records
