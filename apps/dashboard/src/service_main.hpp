#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>

#include "base/request_log.hpp"
#include "lifeline.hpp"
#include "options.hpp"

namespace curfew_dashboard {

/// Runs one service until ctx ends, or the dashboard that started it has gone. \return the exit code.
boost::asio::awaitable<int> run_service(curfew::context ctx, service_options options, lifeline dashboard,
                                        request_log& log);

}  // namespace curfew_dashboard
