#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/sql/copy.hpp>
#include <curfew/sql/error.hpp>
#include <memory>
#include <string>

#include "sql/postgres/loan.hpp"

namespace curfew::sql::postgres {

/// Where a COPY runs.
struct copy_place {
  std::shared_ptr<loan> on;     // emptied by what ends first, the COPY or its transaction
  bool within;                  // a transaction, which goes on behind the COPY
  const std::string& database;  // as inspection shows it
};

/// Begins one; see transaction::copy_in.
[[nodiscard]] result<copy_writer> begin_copy_in(const context& ctx, copy_place in, std::string text);
[[nodiscard]] boost::asio::awaitable<result<copy_writer>> async_begin_copy_in(context ctx, copy_place in,
                                                                              std::string text);
[[nodiscard]] result<copy_reader> begin_copy_out(const context& ctx, copy_place in, std::string text);
[[nodiscard]] boost::asio::awaitable<result<copy_reader>> async_begin_copy_out(context ctx, copy_place in,
                                                                               std::string text);

}  // namespace curfew::sql::postgres
