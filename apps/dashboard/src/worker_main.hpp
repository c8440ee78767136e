#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <string>

#include "base/request_log.hpp"
#include "options.hpp"

namespace curfew_dashboard {

/// "worker HOST:PID"
[[nodiscard]] std::string worker_name();

/// Makes disk reports until ctx ends, and publishes what becomes of them. While Redis is away, it tries again. \return the exit code.
boost::asio::awaitable<int> run_worker(curfew::context ctx, worker_options options, request_log& log);

}  // namespace curfew_dashboard
