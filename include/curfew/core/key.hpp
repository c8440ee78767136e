#pragma once

#include <ios>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace curfew {

/// Says of a key that its values may be seen in logs.
struct show_value_t {};
inline constexpr show_value_t show_value{};

namespace detail {

struct tree;

struct key_base {
  const char* name;
  std::string (*print)(const void* value);  // null: the value is not to be seen

  constexpr key_base(const char* n, std::string (*p)(const void*)) noexcept : name(n), print(p) {}
};

template <class T>
std::string printed(const void* value) {
  const T& v = *static_cast<const T*>(value);
  if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return std::string(std::string_view(v));
  } else {
    std::ostringstream out;
    out.exceptions(std::ios_base::badbit);  // what is thrown inside comes out, and no half of a value
    out << v;
    return std::move(out).str();
  }
}

}  // namespace detail

/// Names a request-scoped value and fixes its type. Two keys are equal if they are the same object, so
/// a key is a constant at namespace scope:
///
///     inline constexpr curfew::key<std::string> trace_id{"trace id"};
///
/// `context::path` names the key but not the value, which may be a secret, unless the key allows it:
///
///     inline constexpr curfew::key<std::string> trace_id{"trace id", curfew::show_value};
template <class T>
class key : private detail::key_base {
 public:
  /// \param name  A literal; for logs and for inspection.
  constexpr explicit key(const char* name) noexcept : key_base(name, nullptr) {}
  /// A key whose values are printed; T converts to std::string_view or has an operator<<.
  constexpr key(const char* name, show_value_t /*allowed*/) noexcept : key_base(name, &detail::printed<T>) {}
  key(const key&) = delete;  // a copy would be another key
  key& operator=(const key&) = delete;

  [[nodiscard]] constexpr const char* name() const noexcept { return key_base::name; }

 private:
  friend struct detail::tree;
};

}  // namespace curfew
