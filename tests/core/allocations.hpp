#pragma once

#include <cstddef>

// The operators new and delete of this test program count what each thread does, and fail when told to.
namespace curfew::testing {

/// Can they? Not under clang's sanitizers, whose own operators new cannot be replaced: all counts are 0
/// there.
extern const bool allocations_are_counted;

/// Counts the allocations of this thread from its construction on.
class allocation_count {
 public:
  allocation_count() noexcept;

  [[nodiscard]] std::size_t made() const noexcept;   ///< How many there were.
  [[nodiscard]] std::size_t bytes() const noexcept;  ///< What they asked for, in all.
  /// How many more there are than releases; in a thread that hands nothing to others: what is still held.
  [[nodiscard]] std::ptrdiff_t held() const noexcept;

 private:
  std::size_t made_;
  std::size_t bytes_;
  std::ptrdiff_t held_;
};

/// Lets one allocation of this thread fail: the `nth`, counted from 1, from its construction on.
class failing_allocation {
 public:
  explicit failing_allocation(std::size_t nth) noexcept;
  failing_allocation(const failing_allocation&) = delete;
  failing_allocation& operator=(const failing_allocation&) = delete;
  ~failing_allocation();

  /// Were there so many allocations that it failed?
  [[nodiscard]] static bool happened() noexcept;
};

}  // namespace curfew::testing
