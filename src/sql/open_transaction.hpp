#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/sql/batch.hpp>
#include <curfew/sql/copy.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/pool.hpp>
#include <curfew/sql/row_stream.hpp>
#include <curfew/sql/rows.hpp>
#include <curfew/sql/savepoint.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sql/database.hpp"

namespace curfew::sql {

/// What a transaction, its streams and its savepoints share; each of these has a number, the later the higher.
///
/// A savepoint that is destroyed cannot wait for the database. It is owed a rollback, which comes before whatever is asked of
/// the transaction next: so nothing is ever kept that was not released.
///
/// Invariants
///  1. saved_ has the savepoints that the database has, in their order; the one at i is called by i.
///  2. A savepoint that is owed a rollback is in saved_, and so are all that it takes with it.
///  3. streams_ has the streams that can be fetched from. Going back to a savepoint ends the later ones.
///
/// Thread safety: one call at a time.
class open_transaction : public std::enable_shared_from_this<open_transaction> {
 public:
  explicit open_transaction(std::unique_ptr<transaction::impl> on) noexcept : on_(std::move(on)) {}

  /// The transaction has been destroyed.
  void leave() noexcept { on_.reset(); }

  result<rows> run(const context& ctx, std::string_view what, const parameters& with);
  boost::asio::awaitable<result<rows>> async_run(context ctx, std::string what, parameters with);
  result<std::vector<rows>> run_batch(const context& ctx, const batch& all);
  boost::asio::awaitable<result<std::vector<rows>>> async_run_batch(context ctx, batch all);
  result<> end(const context& ctx, ending how);
  boost::asio::awaitable<result<>> async_end(context ctx, ending how);

  result<row_stream> stream(const context& ctx, std::string what, parameters with);
  boost::asio::awaitable<result<row_stream>> async_stream(context ctx, std::string what, parameters with);
  result<rows> fetch(const context& ctx, std::uint64_t stream);
  boost::asio::awaitable<result<rows>> async_fetch(context ctx, std::uint64_t stream);
  void close(std::uint64_t stream) noexcept;

  result<copy_writer> copy_in(const context& ctx, std::string what);
  boost::asio::awaitable<result<copy_writer>> async_copy_in(context ctx, std::string what);
  result<copy_reader> copy_out(const context& ctx, std::string what);
  boost::asio::awaitable<result<copy_reader>> async_copy_out(context ctx, std::string what);

  result<savepoint> save(const context& ctx);
  boost::asio::awaitable<result<savepoint>> async_save(context ctx);
  result<> release(const context& ctx, std::uint64_t savepoint);
  boost::asio::awaitable<result<>> async_release(context ctx, std::uint64_t savepoint);
  result<> roll_back(const context& ctx, std::uint64_t savepoint);
  boost::asio::awaitable<result<>> async_roll_back(context ctx, std::uint64_t savepoint);
  /// It has been destroyed.
  void abandon(std::uint64_t savepoint) noexcept;

 private:
  /// Pays what is owed.
  result<> settle(const context& ctx);
  boost::asio::awaitable<result<>> async_settle(context ctx);
  /// One of a savepoint: "release savepoint curfew_2".
  result<> command(const context& ctx, const char* what, std::size_t at);
  boost::asio::awaitable<result<>> async_command(context ctx, const char* what, std::size_t at);
  [[nodiscard]] std::optional<std::size_t> place_of(std::uint64_t savepoint) const noexcept;
  void owe(std::size_t at) noexcept;
  /// The database has gone back to the savepoint that was there.
  void gone_back_to(std::size_t at) noexcept;

  std::unique_ptr<transaction::impl> on_;  // null: it was destroyed
  std::uint64_t last_ = 0;
  std::vector<std::uint64_t> saved_;
  std::optional<std::size_t> owed_;  // the first in saved_ that is to be rolled back
  std::set<std::uint64_t> streams_;
};

}  // namespace curfew::sql
