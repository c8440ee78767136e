#pragma once

#include <curfew/sql/types.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace curfew::sql {

/// "2026-10-05 12:30:00.000001"; without a fraction where that is 0.
[[nodiscard]] std::string as_text(timestamp at);
/// The same, also with a T between date and time, "Z" or an offset ("+02", "-03:30") behind, without seconds, or a date
/// alone; none if it is malformed.
[[nodiscard]] std::optional<timestamp> parse_timestamp(std::string_view text) noexcept;

}  // namespace curfew::sql
