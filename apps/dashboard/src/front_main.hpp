#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>

#include "base/request_log.hpp"
#include "options.hpp"

namespace curfew_dashboard {

/// Runs the dashboard and its services until ctx ends. \return the exit code.
boost::asio::awaitable<int> run_front(curfew::context ctx, front_options options, request_log& log);

}  // namespace curfew_dashboard
