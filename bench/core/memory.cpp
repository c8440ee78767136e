// What a context takes from the heap: how often, and how much, malloc's rounding included.
//
// Counted by this program's own operator new, in the thread that asks for it; for all others it is what the
// standard library's is.

#include <malloc.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <curfew/core.hpp>
#include <new>
#include <stop_token>
#include <string>
#include <vector>

#include "core/rows.hpp"

namespace {

struct tally {
  double allocations = 0;
  double bytes = 0;
};
constinit thread_local tally* counting = nullptr;

void* counted(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  if (counting != nullptr) [[unlikely]] {
    ++counting->allocations;
    counting->bytes += static_cast<double>(malloc_usable_size(memory));
  }
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return counted(std::malloc(size)); }
void* operator new(std::size_t size, std::align_val_t align) {
  const auto a = static_cast<std::size_t>(align);
  return counted(std::aligned_alloc(a, (size + a - 1) / a * a));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t /*align*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/, std::align_val_t /*align*/) noexcept {
  std::free(memory);
}

namespace {

using namespace curfew;
using namespace std::chrono_literals;
using bench::keep;
using bench::no_number;
using bench::numbers;

/// Appends what each of many calls of `act` allocates.
template <class Act>
void count(numbers& all, Act act) {
  constexpr std::size_t times = 1000;
  act();  // what the first one starts is not for the others to account for
  tally found;
  counting = &found;
  for (std::size_t i = 0; i != times; ++i) act();
  counting = nullptr;
  all.push_back(found.allocations / times);
  all.push_back(found.bytes / times);
}

numbers contexts() {
  static constexpr key<const char*> user{"user"};
  const auto parent = with_cancel(background());
  const auto other = with_cancel(background());
  numbers all;
  count(all, [&] { keep(with_cancel(parent)); });
  count(all, [&] { keep(with_timeout(parent, 1h)); });
  count(all, [&] { keep(with_value(parent, user, "somebody")); });
  count(all, [&] { keep(without_cancel(parent)); });
  count(all, [&] { keep(merge(parent, other)); });
  count(all, [&] {
    const on_done callback(parent, [&all] { all.clear(); });
    keep(callback);
  });
  return all;
}

numbers stop_sources() {
  const std::stop_source parent;
  const std::stop_token token = parent.get_token();
  numbers all;
  count(all, [&] { keep(bench::linked_stop_source(token)); });
  all.resize(10, no_number);
  count(all, [&] {
    const std::stop_callback callback(token, [&all] { all.clear(); });
    keep(callback);
  });
  return all;
}

/// The rows of one kind of context.
void add_kind(std::vector<bench::measurement::row>& rows, const std::string& kind,
              const std::string& allocations, const std::string& bytes) {
  rows.push_back({kind + ": allocations", "", allocations});
  rows.push_back({kind + ": heap", "B", bytes});
}

}  // namespace

std::vector<bench::measurement> bench::memory_rows() {
  std::vector<measurement::row> rows;
  const std::string on_the_stack = std::to_string(sizeof(linked_stop_source));
  add_kind(rows, "with_cancel", "1", "≤ 96 B");
  add_kind(rows, "with_timeout", "1", "≤ 128 B");
  add_kind(rows, "with_value", "", "");
  add_kind(rows, "without_cancel", "", "");
  add_kind(rows, "merge of 2", "", "");
  add_kind(rows, "on_done", "0", "0 B");
  rows[1].what += " (the linked stop_source has " + on_the_stack + " B more on the stack)";
  return {{"memory", rows, contexts, stop_sources}};
}
