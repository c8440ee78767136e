#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace curfew::http {

/// RFC 9110's token: what a method and a field's name consist of.
[[nodiscard]] bool is_token(std::string_view text) noexcept;
/// How many characters of a token stand at the front of `text`.
[[nodiscard]] std::size_t token_size(std::string_view text) noexcept;

/// A field's value without control characters other than a tab: any other would end the field, or the header, for
/// an intermediary.
[[nodiscard]] bool is_field_value(std::string_view text) noexcept;

/// Without the blanks, tabs and ends of line around it.
[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;

/// Of ASCII alone.
[[nodiscard]] constexpr char to_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
[[nodiscard]] std::string lowered(std::string_view text);

/// The number that decimal digits, and nothing beside them, say; none if it does not fit into T.
template <std::unsigned_integral T>
[[nodiscard]] std::optional<T> parse_number(std::string_view digits) noexcept {
  T number = 0;
  const auto [end, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (wrong != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

/// What a Content-Length says; none for what is no length. Nothing that measures a file holds more than 63 bits.
[[nodiscard]] std::optional<std::uint64_t> parse_length(std::string_view text) noexcept;

/// Is there an item of a comma-separated list that `is_it` holds for?
template <class F>
[[nodiscard]] bool any_item(std::string_view list, F is_it) {
  for (;;) {
    const auto comma = list.find(',');
    if (is_it(trimmed(list.substr(0, comma)))) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace curfew::http
