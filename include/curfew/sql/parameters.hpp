#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <curfew/sql/types.hpp>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace curfew::sql {

namespace detail {

struct null_value {
  friend bool operator==(null_value, null_value) = default;
};

/// An array, as PostgreSQL writes it: {1,2,NULL}.
struct array_value {
  std::string text;
  friend bool operator==(const array_value&, const array_value&) = default;
};

/// What is sent for a parameter; NULL at first.
using parameter = std::variant<null_value, bool, std::int64_t, double, std::string, bytes, numeric, json,
                               uuid, timestamp, array_value>;

/// Puts another element into an array that is not closed yet.
void append_element(std::string& to, const parameter& element);

template <class T>
inline constexpr bool is_list = false;
template <class T, class Allocator>
inline constexpr bool is_list<std::vector<T, Allocator>> = !std::is_same_v<T, std::byte>;

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

template <class T>
inline constexpr bool is_system_time = false;
template <class Duration>
inline constexpr bool is_system_time<std::chrono::sys_time<Duration>> = true;

template <class T>
concept sent_as_it_is = std::same_as<T, bool> || std::same_as<T, bytes> || std::same_as<T, numeric> ||
                        std::same_as<T, json> || std::same_as<T, uuid>;

template <class T>
inline constexpr bool cannot_be_sent = false;

/// In place: a variant that is moved costs as much as its making.
template <class T>
void encode(parameter& to, const T& value) {
  if constexpr (std::is_same_v<T, std::nullptr_t> || std::is_same_v<T, std::nullopt_t>) {
    to = null_value();
  } else if constexpr (is_optional<T>) {
    if (value) encode(to, *value);
  } else if constexpr (sent_as_it_is<T>) {
    to = value;
  } else if constexpr (std::integral<T>) {
    static_assert(sizeof(T) < 8 || std::signed_integral<T>,
                  "curfew: databases have no unsigned 64-bit numbers; convert it to std::int64_t, or send "
                  "numeric text");
    to = std::int64_t{value};
  } else if constexpr (std::floating_point<T>) {
    to = static_cast<double>(value);
  } else if constexpr (is_system_time<T>) {
    to = std::chrono::floor<std::chrono::microseconds>(value);
  } else if constexpr (is_list<T>) {
    std::string text("{");
    for (const typename T::value_type& each : value) {
      parameter element;
      encode(element, each);
      append_element(text, element);
    }
    to.emplace<array_value>(text + '}');
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    to.emplace<std::string>(std::string_view(value));
  } else if constexpr (std::is_convertible_v<const T&, std::span<const std::byte>>) {
    const std::span<const std::byte> all(value);
    to.emplace<bytes>(all.begin(), all.end());
  } else if constexpr (std::is_enum_v<T>) {
    encode(to, static_cast<std::underlying_type_t<T>>(value));
  } else {
    static_assert(cannot_be_sent<T>, "curfew: a parameter cannot be of this type");
  }
}

}  // namespace detail

/// The values of `$1`, `$2` and so on; copied. A statement whose number of values is known only when the program runs takes
/// one of these in the place of values:
///
///     std::string text = "select id, name from users where id in (";
///     sql::parameters values;
///     for (const std::int64_t each : {3, 7, 11}) {
///       values.add(each);
///       text += (values.size() == 1 ? "$" : ", $") + std::to_string(values.size());
///     }
///     auto found = db.query(ctx, sql::dynamic(text + ")"), values);
class parameters {
 public:
  template <class... T>
  explicit parameters(const T&... values) {
    all_.reserve(sizeof...(T));
    (detail::encode(all_.emplace_back(), values), ...);
  }

  /// Adds the next one.
  template <class T>
  parameters& add(const T& value) {
    detail::encode(all_.emplace_back(), value);
    return *this;
  }
  [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }

  [[nodiscard]] const std::vector<detail::parameter>& all() const noexcept { return all_; }

 private:
  std::vector<detail::parameter> all_;
};

}  // namespace curfew::sql
