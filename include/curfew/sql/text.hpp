#pragma once

#include <cstddef>
#include <string_view>

namespace curfew::sql {

/// The text of a statement: a literal, so that no value from outside gets into it. Values are parameters: `$1`, `$2`.
///
///     auto found = db.query(ctx, "select name from users where id = $1", id);
///
/// A text that is put together says so, `sql::dynamic(text)`, where a reviewer sees it.
class text {
 public:
  template <std::size_t N>
  consteval text(const char (&literal)[N]) noexcept  // NOLINT(google-explicit-constructor, *-c-arrays)
      : view_(literal, N - 1) {}

  [[nodiscard]] constexpr std::string_view view() const noexcept { return view_; }

 private:
  friend constexpr text dynamic(std::string_view made) noexcept;
  struct any {};
  constexpr text(any /*tag*/, std::string_view made) noexcept : view_(made) {}

  std::string_view view_;
};

/// A text that is no literal. What it points to lives until the call has begun.
[[nodiscard]] constexpr text dynamic(std::string_view made) noexcept { return {text::any(), made}; }

}  // namespace curfew::sql
