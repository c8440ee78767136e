#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace curfew::detail {

/// A T in cache lines that hold nothing else, wherever the object around it is: compilers heed no alignas(64) for
/// what is in a coroutine's frame.
template <class T>
class own_line {
 public:
  template <class... Arguments>
  explicit own_line(Arguments&&... arguments) {
    std::construct_at(place(), std::forward<Arguments>(arguments)...);
  }
  own_line(const own_line&) = delete;
  own_line& operator=(const own_line&) = delete;
  ~own_line() { std::destroy_at(get()); }

  [[nodiscard]] T* get() const noexcept { return std::launder(place()); }
  T* operator->() const noexcept { return get(); }
  T& operator*() const noexcept { return *get(); }

 private:
  static constexpr std::size_t line = 64;
  static constexpr std::size_t given = alignof(std::max_align_t);
  static constexpr std::size_t size = (sizeof(T) + line - 1) / line * line;
  static_assert(alignof(T) <= line);

  [[nodiscard]] T* place() const noexcept {
    const auto skip = -reinterpret_cast<std::uintptr_t>(room_) % line;
    return reinterpret_cast<T*>(room_ + skip);
  }

  alignas(given) mutable std::byte room_[size + line - given];
};

}  // namespace curfew::detail
