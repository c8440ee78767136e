#pragma once

#include <concepts>
#include <curfew/core/cause.hpp>
#include <curfew/core/errc.hpp>
#include <expected>
#include <iosfwd>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace curfew {

class context;

namespace detail {

template <class Code>
concept is_error_code = std::is_convertible_v<const Code&, std::error_code>;

template <class Code>
concept has_error_code = requires(const Code& code) {
  { make_error_code(code) } -> std::convertible_to<std::error_code>;
};

/// What an error is compared with: std's codes and conditions, and those of libraries that convert to them, as
/// Boost's do.
template <class Code>
concept comparable_code =
    std::is_error_condition_enum_v<Code> || std::is_same_v<Code, std::error_condition> ||
    is_error_code<Code> || has_error_code<Code>;

template <class Code>
std::error_code as_code(const Code& code) noexcept {
  if constexpr (is_error_code<Code>) {
    return code;
  } else {
    return make_error_code(code);
  }
}

/// Is a Code, beside a result<T>, meant for its error? An enumeration of codes converts to an int, and so it would
/// compare with a number of bytes.
template <class T, class Code>
concept means_error = comparable_code<Code> && !comparable_code<T>;

}  // namespace detail

/// What went wrong, while doing what, and whether trying again makes sense.
class error {
 public:
  /// \param doing  What was being done, such as "GET http://host/ : connecting"; empty where nothing helps.
  explicit error(std::error_code code, std::string doing = {}, cause why = {});

  /// The error of work that stopped because `ctx` ended: its err, with its cause beside it.
  static error ended(const context& ctx, std::string doing = {});

  [[nodiscard]] const std::error_code& code() const noexcept { return code_; }
  [[nodiscard]] const std::string& doing() const noexcept { return doing_; }
  /// Where a context's end was the reason: its cause. Else none.
  [[nodiscard]] const curfew::cause& cause() const noexcept { return cause_; }
  /// May the same thing succeed if tried again? A timeout, a refused or lost connection: yes.
  /// A cancel, a malformed URL, a certificate that is not trusted: no.
  [[nodiscard]] bool transient() const noexcept;
  /// All of it in one line: "GET http://host/ : connecting: deadline exceeded (cause: report budget)".
  [[nodiscard]] std::string message() const;

  /// The same code, activity and cause.
  friend bool operator==(const error& a, const error& b) noexcept = default;
  /// Compares its code with an error code or condition, of whatever library: `e == curfew::errc::canceled`,
  /// `e == std::errc::timed_out`, `e == boost::asio::error::eof`.
  template <class Code>
    requires detail::comparable_code<Code>
  friend bool operator==(const error& a, const Code& b) noexcept {
    if constexpr (std::is_error_condition_enum_v<Code> || std::is_same_v<Code, std::error_condition>) {
      return a.code() == std::error_condition(b);
    } else {
      return a.code() == detail::as_code(b);
    }
  }
  // clang-format off: compilers show the whole line, which says what is wrong
  template <class Other>
    requires(!detail::comparable_code<Other> && !std::is_same_v<Other, error>)
  friend bool operator==(const error&, const Other&) = delete;  // an error compares with an error code or condition
  // clang-format on
  friend std::ostream& operator<<(std::ostream& out, const error& e);

 private:
  std::error_code code_;
  std::string doing_;
  curfew::cause cause_;
};

/// A value, or why there is none: a std::expected<T, error> that is made from an error as it stands, too.
///
///     curfew::result<int> parse(std::string_view text) {
///       if (text.empty()) return curfew::error(std::make_error_code(std::errc::invalid_argument), "parsing");
///       return 42;
///     }
///
/// Converts from and to std::expected<T, error>; what std::expected can do, it can.
/// \tparam T  Not an error itself.
template <class T = void>
class [[nodiscard]] result : public std::expected<T, error> {
  using base = std::expected<T, error>;
  static_assert(!std::is_same_v<std::remove_cv_t<T>, error>,
                "curfew: a result whose value is an error has no meaning");

 public:
  using base::base;

  result() = default;
  result(const base& other) : base(other) {}  // NOLINT(google-explicit-constructor) NOLINTNEXTLINE(*)
  result(base&& other) noexcept(
      std::is_void_v<T> || std::is_nothrow_move_constructible_v<T>)  // NOLINT(google-explicit-constructor)
      : base(std::move(other)) {}
  result(const error& why) : base(std::unexpect, why) {}        // NOLINT(google-explicit-constructor)
  result(error&& why) : base(std::unexpect, std::move(why)) {}  // NOLINT(google-explicit-constructor)

  // As std::expected compares; here, since a derived class would be ambiguous there.
  template <std::same_as<result> Same>
  friend bool operator==(const Same& a, const Same& b) {
    return static_cast<const base&>(a) == static_cast<const base&>(b);
  }
  template <class U>
    requires(!std::is_void_v<T> && !std::is_base_of_v<base, U> && !detail::means_error<T, U>)
  friend bool operator==(const result& a, const U& value) {
    return a.has_value() && *a == value;
  }
  // clang-format off: compilers show the whole line, which says what is wrong
  template <class Code>
    requires detail::means_error<T, Code>
  friend bool operator==(const result&, const Code&) = delete;  // a result compares with a value; its error() with a code
  // clang-format on
};

}  // namespace curfew
