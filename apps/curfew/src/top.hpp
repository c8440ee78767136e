#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>

#include "options.hpp"

namespace curfew_program {

/// `curfew top`. \return the exit status.
boost::asio::awaitable<int> run_top(curfew::context ctx, top_options options);

}  // namespace curfew_program
