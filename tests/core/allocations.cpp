#include "core/allocations.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define CURFEW_TESTS_KEEP_NEW
#endif
#endif

namespace curfew::testing {

#ifdef CURFEW_TESTS_KEEP_NEW
const bool allocations_are_counted = false;
#else
const bool allocations_are_counted = true;
#endif

namespace {

struct tally {
  std::size_t made = 0;
  std::size_t bytes = 0;
  std::ptrdiff_t held = 0;
  std::size_t fail_in = 0;  // 0: never
};

constinit thread_local tally mine;

}  // namespace

allocation_count::allocation_count() noexcept : made_(mine.made), bytes_(mine.bytes), held_(mine.held) {}
std::size_t allocation_count::made() const noexcept { return mine.made - made_; }
std::size_t allocation_count::bytes() const noexcept { return mine.bytes - bytes_; }
std::ptrdiff_t allocation_count::held() const noexcept { return mine.held - held_; }

failing_allocation::failing_allocation(std::size_t nth) noexcept { mine.fail_in = nth; }
failing_allocation::~failing_allocation() { mine.fail_in = 0; }
bool failing_allocation::happened() noexcept { return mine.fail_in == 0; }

}  // namespace curfew::testing

#ifndef CURFEW_TESTS_KEEP_NEW

namespace {

using curfew::testing::mine;

void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
  if (mine.fail_in != 0 && --mine.fail_in == 0) return nullptr;
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  void* made = std::aligned_alloc(alignment, rounded);
  if (made == nullptr) return nullptr;
  ++mine.made;
  mine.bytes += bytes;
  ++mine.held;
  return made;
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  if (void* made = allocate(bytes, alignment)) return made;
  throw std::bad_alloc();
}

void give_back(void* memory) noexcept {
  if (memory == nullptr) return;
  --mine.held;
  std::free(memory);
}

constexpr std::size_t usual = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

// All of them, because the sanitizers bring their own for those that are left out.
void* operator new(std::size_t n) { return allocate_or_throw(n, usual); }
void* operator new[](std::size_t n) { return allocate_or_throw(n, usual); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return allocate(n, usual); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return allocate(n, usual); }
void* operator new(std::size_t n, std::align_val_t a) { return allocate_or_throw(n, std::size_t(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return allocate_or_throw(n, std::size_t(a)); }
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(n, std::size_t(a));
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(n, std::size_t(a));
}
void operator delete(void* p) noexcept { give_back(p); }
void operator delete[](void* p) noexcept { give_back(p); }
void operator delete(void* p, std::size_t) noexcept { give_back(p); }
void operator delete[](void* p, std::size_t) noexcept { give_back(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { give_back(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { give_back(p); }
void operator delete(void* p, std::align_val_t) noexcept { give_back(p); }
void operator delete[](void* p, std::align_val_t) noexcept { give_back(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { give_back(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { give_back(p); }
void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept { give_back(p); }
void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept { give_back(p); }

#endif
