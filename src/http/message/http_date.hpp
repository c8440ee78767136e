#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace curfew::http {

/// RFC 9110, section 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT", and the two forms of before. None for anything else.
/// The name of the day is not looked at.
[[nodiscard]] std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text);

/// "Sun, 06 Nov 1994 08:49:37 GMT". Of a year of four digits.
[[nodiscard]] std::string to_http_date(std::chrono::sys_seconds when);

}  // namespace curfew::http
