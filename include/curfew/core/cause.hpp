#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace curfew {

namespace detail {
struct cause_record;
struct tree;
}  // namespace detail

/// What made a context end, in the words of the code that ended it: a code, a text, or both.
///
/// `err()` says that a context ended and of which kind the end was; the cause says why. The first cause
/// stays, and every context below it reports the same one. Where none was given, the cause is the err.
///
/// An immutable value, one pointer wide; copying shares it. Construction may throw std::bad_alloc.
/// Thread safety: as an int; copies may be used in different threads.
class cause {
 public:
  /// No cause: what a living context reports.
  cause() noexcept = default;

  cause(std::error_code code);  // NOLINT(google-explicit-constructor)
  cause(std::error_code code, std::string_view text);

  template <class Enum>
    requires std::is_error_code_enum_v<Enum>
  cause(Enum code) : cause(std::error_code(code)) {}  // NOLINT(google-explicit-constructor)

  /// A text alone; `code()` is then empty.
  template <class Text>
    requires std::is_convertible_v<const Text&, std::string_view>
  cause(const Text& text)  // NOLINT(google-explicit-constructor)
      : cause(std::error_code(), std::string_view(text)) {}

  cause(const cause& other) noexcept;
  cause(cause&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
  cause& operator=(const cause& other) noexcept { return *this = cause(other); }
  cause& operator=(cause&& other) noexcept {
    std::swap(record_, other.record_);
    return *this;
  }
  ~cause();

  /// The code; empty where the cause is a text alone, or where there is none.
  [[nodiscard]] std::error_code code() const noexcept;
  /// The text where there is one, else the code's message; empty where there is no cause.
  [[nodiscard]] std::string message() const;
  /// Is there a cause?
  explicit operator bool() const noexcept { return record_ != nullptr; }

  friend bool operator==(const cause& a, const cause& b) noexcept;
  template <class Enum>
    requires(std::is_error_code_enum_v<Enum> || std::is_error_condition_enum_v<Enum>)
  friend bool operator==(const cause& a, Enum code) noexcept {
    return a.code() == code;
  }
  friend std::ostream& operator<<(std::ostream& out, const cause& why);

 private:
  friend struct detail::tree;
  explicit cause(const detail::cause_record* record) noexcept : record_(record) {}

  const detail::cause_record* record_ = nullptr;
};

}  // namespace curfew
