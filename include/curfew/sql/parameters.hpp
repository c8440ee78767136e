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
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace curfew::sql {

/// A value of an enumeration, and its name in a database. An enumeration beside which `sql_names` stands is kept by its names, as
/// text, or as a type of the database's own (`create type mood as enum ('sad', 'happy')`); any other by its numbers:
///
///     enum class mood { sad, happy };
///     constexpr auto sql_names(mood) {
///       return std::to_array<curfew::sql::enum_name<mood>>({{mood::sad, "sad"}, {mood::happy, "happy"}});
///     }
template <class Enum>
using enum_name = std::pair<Enum, std::string_view>;

namespace detail {

template <class T>
concept named_enum = std::is_enum_v<T> && requires { sql_names(T{}); };

template <named_enum T>
inline constexpr auto names_of = sql_names(T{});

struct null_value {
  friend bool operator==(null_value, null_value) = default;
};

/// An array, as PostgreSQL writes it: {1,2,NULL}.
struct array_value {
  std::string text;
  friend bool operator==(const array_value&, const array_value&) = default;
};

/// A composite value, as PostgreSQL writes it: (1,"two",).
struct composite_value {
  std::string text;
  friend bool operator==(const composite_value&, const composite_value&) = default;
};

/// What is sent for a parameter; NULL at first.
using parameter = std::variant<null_value, bool, std::int64_t, double, std::string, bytes, numeric, json,
                               uuid, timestamp, array_value, composite_value>;

/// Puts another element into an array that is not closed yet.
void append_element(std::string& to, const parameter& element);
/// Puts another field, and a comma, into a composite value.
void append_field(std::string& to, const parameter& field);

[[noreturn]] void refuse_enumerator(std::int64_t value);

template <class T>
inline constexpr bool is_list = false;
template <class T, class Allocator>
inline constexpr bool is_list<std::vector<T, Allocator>> = !std::is_same_v<T, std::byte>;

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

template <class T>
inline constexpr bool is_tuple = false;
template <class... T>
inline constexpr bool is_tuple<std::tuple<T...>> = true;

/// Stands for a composite value: its members, in their order.
template <class T>
concept composite_struct =
    std::is_class_v<T> && std::is_aggregate_v<T> && !requires { std::tuple_size<T>::value; };

template <class T>
inline constexpr bool is_system_time = false;
template <class Duration>
inline constexpr bool is_system_time<std::chrono::sys_time<Duration>> = true;

template <class T>
concept sent_as_it_is = std::same_as<T, bool> || std::same_as<T, bytes> || std::same_as<T, numeric> ||
                        std::same_as<T, json> || std::same_as<T, uuid>;

template <class T>
inline constexpr bool cannot_be_sent = false;

template <class T>
void encode(parameter& to, const T& value);

template <class T>
void encode_field(std::string& to, const T& value) {
  parameter field;
  encode(field, value);
  append_field(to, field);
}
/// Defined in <curfew/sql/structs.hpp>.
template <class T>
void encode_members(std::string& to, const T& value);

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
  } else if constexpr (named_enum<T>) {
    for (const auto& [each, name] : names_of<T>) {
      if (each == value) return static_cast<void>(to.emplace<std::string>(name));
    }
    refuse_enumerator(static_cast<std::int64_t>(value));
  } else if constexpr (std::is_enum_v<T>) {
    encode(to, static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (is_tuple<T> || composite_struct<T>) {
    std::string text("(");
    if constexpr (is_tuple<T>) {
      std::apply([&text](const auto&... each) { (encode_field(text, each), ...); }, value);
    } else {
      encode_members(text, value);
    }
    text.back() = ')';
    to.emplace<composite_value>(std::move(text));
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
