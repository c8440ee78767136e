#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/listener.hpp>

#include "sql/postgres/connection.hpp"

namespace curfew::sql::postgres {

/// Waits for a notification, on an idle connection.
/// Errors: errc::connection_lost.
[[nodiscard]] result<notification> next_notification(connection& on, const context& ctx);
[[nodiscard]] boost::asio::awaitable<result<notification>> async_next_notification(connection& on,
                                                                                   context ctx);

}  // namespace curfew::sql::postgres
