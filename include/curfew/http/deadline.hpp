#pragma once

#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace curfew::http {

/// The field that carries what remains of the client's deadline, in milliseconds. Its value is 1 to 8 decimal
/// digits; 0 means that it is already too late. It is a duration and not a point in time, since clocks differ;
/// docs/design/0010 has the reasons.
inline constexpr std::string_view timeout_field = "Request-Timeout-Ms";

/// What a client sends for `ctx`: none without a deadline; rounded up to a whole millisecond, at most
/// 99999999.
[[nodiscard]] std::optional<std::string> timeout_to_send(const context& ctx);

/// What a server reads; none if the value does not have the grammar above.
[[nodiscard]] std::optional<clock::duration> parse_timeout(std::string_view value) noexcept;

}  // namespace curfew::http
