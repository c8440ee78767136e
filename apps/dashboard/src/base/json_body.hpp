#pragma once

#include <optional>
#include <string_view>

namespace curfew_dashboard {

/// The value of `{"on": bool}`; none if the text is anything else.
[[nodiscard]] std::optional<bool> parse_on(std::string_view body);

}  // namespace curfew_dashboard
