#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/io/pool.hpp>
#include <curfew/sql/copy.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/listener.hpp>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/pool.hpp>
#include <curfew/sql/row_stream.hpp>
#include <curfew/sql/rows.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::sql {

/// How a transaction ends.
enum class ending : std::uint8_t { commit, rollback };

/// What a stream gives, while there is as much.
inline constexpr std::size_t rows_at_a_time = 256;

/// Begins a COPY. Of a database without: an error.
class copying {
 public:
  copying() = default;
  copying(const copying&) = delete;
  copying& operator=(const copying&) = delete;
  virtual ~copying() = default;

  [[nodiscard]] virtual result<copy_writer> copy_in(const context& ctx, std::string what);
  [[nodiscard]] virtual boost::asio::awaitable<result<copy_writer>> async_copy_in(context ctx,
                                                                                  std::string what);
  [[nodiscard]] virtual result<copy_reader> copy_out(const context& ctx, std::string what);
  [[nodiscard]] virtual boost::asio::awaitable<result<copy_reader>> async_copy_out(context ctx,
                                                                                   std::string what);
};

/// A transaction on a connection to one kind of database. Its destructor rolls back what is open, elsewhere.
class transaction::impl : public copying {
 public:
  [[nodiscard]] virtual result<rows> run(const context& ctx, std::string_view what,
                                         const parameters& with) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<rows>> async_run(context ctx, std::string what,
                                                                       parameters with) = 0;
  [[nodiscard]] virtual result<std::vector<rows>> run_batch(const context& ctx, const batch& all) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<std::vector<rows>>> async_run_batch(context ctx,
                                                                                          batch all) = 0;
  /// Begins a stream of rows, beside which other statements may run.
  /// \param number  Names it, in fetch and close.
  [[nodiscard]] virtual result<> open(const context& ctx, std::uint64_t number, std::string what,
                                      parameters with) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<>> async_open(context ctx, std::uint64_t number,
                                                                    std::string what, parameters with) = 0;
  /// Its next rows. Fewer than rows_at_a_time, or an error: it is over.
  [[nodiscard]] virtual result<rows> fetch(const context& ctx, std::uint64_t number) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<rows>> async_fetch(context ctx,
                                                                         std::uint64_t number) = 0;
  /// No more of it is fetched. Does not block.
  virtual void close(std::uint64_t number) noexcept = 0;
  [[nodiscard]] virtual result<> end(const context& ctx, ending how) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<>> async_end(context ctx, ending how) = 0;
  /// Of what is asked of a transaction that has ended.
  [[nodiscard]] static error over();
};

/// The rows of a statement on a connection to one kind of database.
class row_stream::impl {
 public:
  impl() = default;
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
  /// Ends the statement, elsewhere.
  virtual ~impl() = default;

  [[nodiscard]] virtual result<rows> next(const context& ctx) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<rows>> async_next(context ctx) = 0;
};

class listener::impl {
 public:
  impl() = default;
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
  virtual ~impl() = default;

  [[nodiscard]] virtual result<notification> next(const context& ctx) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<notification>> async_next(context ctx) = 0;
};

class copy_writer::impl {
 public:
  impl() = default;
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
  /// Gives up what is not finished.
  virtual ~impl() = default;

  [[nodiscard]] virtual result<> write(const context& ctx, std::string_view some) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<>> async_write(context ctx, std::string some) = 0;
  [[nodiscard]] virtual result<std::uint64_t> finish(const context& ctx) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<std::uint64_t>> async_finish(context ctx) = 0;
};

class copy_reader::impl {
 public:
  impl() = default;
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
  /// Ends the statement, elsewhere.
  virtual ~impl() = default;

  [[nodiscard]] virtual result<std::string> next(const context& ctx) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<std::string>> async_next(context ctx) = 0;
};

/// The connections of a pool to one kind of database. What the functions return keeps it alive.
class pool_state : public copying, public std::enable_shared_from_this<pool_state> {
 public:
  [[nodiscard]] virtual result<rows> run(const context& ctx, std::string_view what, const parameters& with,
                                         detail::purpose why) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<rows>> async_run(context ctx, std::string what,
                                                                       parameters with,
                                                                       detail::purpose why) = 0;
  [[nodiscard]] virtual result<std::vector<rows>> run_batch(const context& ctx, const batch& all) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<std::vector<rows>>> async_run_batch(context ctx,
                                                                                          batch all) = 0;
  [[nodiscard]] virtual result<row_stream> stream(const context& ctx, std::string what, parameters with) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<row_stream>> async_stream(context ctx, std::string what,
                                                                                parameters with) = 0;
  [[nodiscard]] virtual result<transaction> begin(const context& ctx, const transaction_options& how) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<transaction>> async_begin(context ctx,
                                                                                transaction_options how) = 0;
  [[nodiscard]] virtual result<> warm_up(const context& ctx, std::size_t count) = 0;
  [[nodiscard]] virtual boost::asio::awaitable<result<>> async_warm_up(context ctx, std::size_t count) = 0;
  /// Of a database without: an error.
  [[nodiscard]] virtual result<listener> listen(const context& ctx, const std::string& channel);
  [[nodiscard]] virtual boost::asio::awaitable<result<listener>> async_listen(context ctx,
                                                                              std::string channel);
  [[nodiscard]] virtual pool_stats stats() const = 0;
  /// Ends what waits.
  virtual void close() noexcept = 0;
};

/// How many rows a statement has changed.
[[nodiscard]] boost::asio::awaitable<result<std::uint64_t>> count_changes(
    boost::asio::awaitable<result<rows>> running);

/// The error of a call that has got no connection.
/// \param refused  What the database said, if it came so far.
[[nodiscard]] error no_connection(const curfew::error& why, const std::optional<error>& refused,
                                  std::string_view text, std::string_view database);

}  // namespace curfew::sql
