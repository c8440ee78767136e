#pragma once

#include <string_view>

namespace curfew_dashboard {

/// One line to standard error: "curfew-dashboard: …".
void log_line(std::string_view text);

}  // namespace curfew_dashboard
