#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace curfew::http {

/// Decodes %XX; with `form`, '+' too. None if an escape is malformed.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text, bool form = false);

/// A target in origin form, at its first '?': path and query, both still encoded.
[[nodiscard]] std::pair<std::string_view, std::string_view> split_target(std::string_view target) noexcept;

}  // namespace curfew::http
