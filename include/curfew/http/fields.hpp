#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

namespace curfew::http {

/// Header fields in their order. Names compare without regard to case; one name may stand more than once.
///
/// They lie in one buffer, behind one another, so all of a head take one allocation. What `find` and the iterators give
/// are views into it: any change makes them invalid, as it does those of a std::string.
class fields {
 public:
  struct field {
    std::string_view name;
    std::string_view value;
  };
  class iterator;

  /// The value of the first field of that name, if there is one.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept;
  [[nodiscard]] bool contains(std::string_view name) const noexcept { return find(name).has_value(); }
  /// How many fields have that name.
  [[nodiscard]] std::size_t count(std::string_view name) const noexcept;
  /// Replaces all fields of that name by one, which stands where the first stood.
  /// \param value  May be a view into these fields, as in `add`.
  void set(std::string_view name, std::string_view value);
  /// Appends, beside others of that name.
  /// Throws: std::bad_alloc, as `set`; std::length_error for a name or a value beyond 4 GiB.
  void add(std::string_view name, std::string_view value);
  void erase(std::string_view name);
  /// Makes room for so many bytes of names and values.
  void reserve(std::size_t bytes);

  [[nodiscard]] iterator begin() const noexcept;
  [[nodiscard]] iterator end() const noexcept;
  /// Counts them.
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept { return buffer_.empty(); }

 private:
  /// Stands before the name and the value of a field.
  struct lengths {
    std::uint32_t name;
    std::uint32_t value;
  };

  void put(std::size_t at, std::string_view name, std::string_view value);
  void take_out(std::string_view name, std::size_t from);
  [[nodiscard]] bool holds(std::string_view text) const noexcept;

  std::string buffer_;
};

class fields::iterator {
 public:
  using value_type = field;
  using difference_type = std::ptrdiff_t;
  using iterator_concept = std::forward_iterator_tag;

  iterator() = default;

  [[nodiscard]] field operator*() const noexcept {
    const lengths its = here();
    return {{at_ + sizeof its, its.name}, {at_ + sizeof its + its.name, its.value}};
  }
  iterator& operator++() noexcept {
    const lengths its = here();
    at_ += sizeof its + its.name + its.value;
    return *this;
  }
  iterator operator++(int) noexcept {
    const iterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(iterator, iterator) noexcept = default;

 private:
  friend class fields;
  explicit iterator(const char* at) noexcept : at_(at) {}

  [[nodiscard]] lengths here() const noexcept {
    lengths its;
    std::memcpy(&its, at_, sizeof its);  // the buffer is not aligned
    return its;
  }

  const char* at_ = nullptr;
};

inline fields::iterator fields::begin() const noexcept { return iterator(buffer_.data()); }
inline fields::iterator fields::end() const noexcept { return iterator(buffer_.data() + buffer_.size()); }
inline std::size_t fields::size() const noexcept {
  return static_cast<std::size_t>(std::distance(begin(), end()));
}

/// Are two field names the same, without regard to the case of ASCII letters?
[[nodiscard]] bool same_name(std::string_view a, std::string_view b) noexcept;

}  // namespace curfew::http
