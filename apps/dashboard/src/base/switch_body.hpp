#pragma once

#include <curfew/http/message.hpp>
#include <expected>

#include "base/access.hpp"

namespace curfew_dashboard {

/// What a POST to the switch says: the value of `{"on": bool}`, sent as JSON.
[[nodiscard]] std::expected<bool, refusal> read_switch(const http::request& request);

}  // namespace curfew_dashboard
