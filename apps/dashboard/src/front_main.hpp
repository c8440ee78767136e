#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>

#include "options.hpp"

namespace curfew_dashboard {

/// Runs the dashboard and its services until ctx ends. \return the exit code.
boost::asio::awaitable<int> run_front(curfew::context ctx, front_options options);

}  // namespace curfew_dashboard
