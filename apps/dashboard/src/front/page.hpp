#pragma once

#include <curfew/http/message.hpp>
#include <curfew/http/router.hpp>
#include <functional>

namespace curfew_dashboard {

/// Adds the files of the page: each at its path, "index.html" at "/" too. With an ETag, so that a reload is
/// cheap and a new version of the program is seen at once.
/// \param wrap  Put around each handler.
void add_page(curfew::http::router& routes,
              const std::function<curfew::http::handler(curfew::http::handler)>& wrap);

}  // namespace curfew_dashboard
