#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/sql/error.hpp>
#include <string>

#include "sql/postgres/connection.hpp"

/// What waits for a connection, and goes on with it.

namespace curfew::sql::postgres {

/// Waits in this thread until the statement is done, or ctx ends.
/// \return whether it is done.
[[nodiscard]] bool drive(connection& on, const context& ctx);
/// The same, in a coroutine.
[[nodiscard]] boost::asio::awaitable<bool> async_drive(connection& on, context ctx, std::uint64_t task);

/// Waits until what has to be sent is sent, while what the server says meanwhile is read: one that is stuck with that reads
/// nothing.
[[nodiscard]] boost::asio::awaitable<bool> async_send(connection& on, context ctx, std::uint64_t task);

/// The error of a call that waits no longer: since its context has ended, or Asio has canceled it.
[[nodiscard]] error cut_off(const context& ctx, std::string doing);

}  // namespace curfew::sql::postgres
