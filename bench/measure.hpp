#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <vector>

// What the measurements of one side are made with.
namespace curfew::bench {

/// What the compiler must not compute in advance or leave out.
template <class T>
inline void keep(const T& value) noexcept {
  asm volatile("" : : "r,m"(value) : "memory");
}

/// The same pointer, but the compiler no longer knows where it points.
template <class T>
inline T* hidden(T* pointer) noexcept {
  asm volatile("" : "+r"(pointer) : : "memory");
  return pointer;
}

using numbers = std::vector<double>;

/// Nanoseconds of each of `times` runs of `act`.
template <class Act>
double nanoseconds_each(std::size_t times, Act act) {
  const auto began = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i != times; ++i) act();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
  return took.count() / static_cast<double>(times);
}

inline double microseconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double, std::micro>(d).count();
}

/// A figure of work that was done; throws if it was not.
inline double check(bool done, double figure) {
  if (!done) throw std::logic_error("a measurement did not do its work");
  return figure;
}

/// The value that `part` of all do not exceed: 0.5 the median, 1 the largest.
inline double percentile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

}  // namespace curfew::bench
