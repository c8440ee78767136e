#pragma once

#include <curfew/console/routes.hpp>
#include <curfew/http/router.hpp>

namespace curfew::inspect {

/// What `routes` gives, and what a console serves.
/// \param dump_signal  As for looker.
[[nodiscard]] http::router make_routes(const console_options& options, int dump_signal);

}  // namespace curfew::inspect
