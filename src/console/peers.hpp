#pragma once

#include <curfew/console/routes.hpp>
#include <curfew/http/router.hpp>
#include <vector>

#include "console/json.hpp"

namespace curfew::inspect {

/// Has the consoles of other processes answer under "/peers/{peer}/…", as their own paths.
/// Throws: std::invalid_argument where a name is none, or there twice.
void add_peers(http::router& to, const std::vector<console_peer>& peers, http::route_options how);

void write_names(json_writer& to, const std::vector<console_peer>& peers);

}  // namespace curfew::inspect
