#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>

#include "options.hpp"

namespace curfew_program {

/// The commands that print and end. \return the exit status.
boost::asio::awaitable<int> run_ls(curfew::context ctx, ls_options options);
boost::asio::awaitable<int> run_show(curfew::context ctx, show_options options);
boost::asio::awaitable<int> run_cancel(curfew::context ctx, cancel_options options);

}  // namespace curfew_program
