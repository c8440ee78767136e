#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace curfew::http {

/// Decodes %XX; with `form`, '+' too. None if an escape is malformed.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text, bool form = false);

/// RFC 3986: what needs no percent-encoding anywhere.
[[nodiscard]] bool is_unreserved(char c) noexcept;
/// Appends a byte as %XX.
void append_escaped(std::string& to, char c);

/// A target in origin form, at its first '?': path and query, both still encoded.
[[nodiscard]] std::pair<std::string_view, std::string_view> split_target(std::string_view target) noexcept;

}  // namespace curfew::http
