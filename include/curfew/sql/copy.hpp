#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/sql/error.hpp>
#include <memory>
#include <string>
#include <string_view>

namespace curfew::sql {

/// The data of a COPY into PostgreSQL, the fastest way for many rows:
///
///     auto into = db.copy_in(ctx, "copy users (id, name) from stdin");
///     if (!into) return into.error();
///     for (int number = 1; number <= 1000; ++number) {
///       auto sent = into->write(ctx, std::to_string(number) + "\tAnn\n");
///       if (!sent) return sent.error();
///     }
///     auto count = into->finish(ctx);
///     if (!count) return count.error();
///
/// The data is as the statement says: by default a line for each row, its columns separated by tabs, NULL as `\N`. It may be
/// cut into pieces anywhere. Either all rows are there or none: one that is destroyed unfinished has changed nothing. It has a
/// connection of its own until then, or its transaction's.
///
/// Lifetime:       may outlive the pool.
/// Thread safety:  one call at a time.
class [[nodiscard("a COPY that is not kept is given up at once: name it")]] copy_writer {
 public:
  copy_writer(copy_writer&& other) noexcept;
  copy_writer& operator=(copy_writer&& other) noexcept;
  ~copy_writer();

  /// Sends a piece. Up to 64 KiB are kept back until there are more, or `finish`.
  ///
  /// Completes when:  the piece has been sent, for which the server has to read what came before; or ctx ends.
  /// Errors:          the end of ctx, with its cause; errc::connection_lost. Nothing has happened then, and the COPY is over.
  ///                  What the server says of a row, `finish` tells.
  [[nodiscard]] result<> write(const context& ctx, std::string_view some);
  [[nodiscard]] boost::asio::awaitable<result<>> async_write(context ctx, std::string some);

  /// Ends the data.
  /// \return how many rows have come.
  ///
  /// Completes when:  the server has taken all, or refuses it; where ctx ends before, within pool_options::grace().
  /// Errors:          as of pool::execute, also those that a row had; error::outcome() says what became of it.
  [[nodiscard]] result<std::uint64_t> finish(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<std::uint64_t>> async_finish(context ctx);

  class impl;
  explicit copy_writer(std::unique_ptr<impl> made) noexcept;

 private:
  std::unique_ptr<impl> impl_;  // null: it was moved from
};

/// The data of a COPY out of PostgreSQL, a piece at a time:
///
///     auto all = db.copy_out(ctx, "copy users to stdout");
///     if (!all) return all.error();
///     for (;;) {
///       auto some = all->next(ctx);
///       if (!some) return some.error();
///       if (some->empty()) break;
///       std::cout << *some;
///     }
///
/// The server waits for its reader. It has a connection of its own until its end, or until it is destroyed, or its
/// transaction's; the statement is ended in the server then.
///
/// Lifetime:       may outlive the pool.
/// Thread safety:  one call at a time.
class [[nodiscard("a COPY that is not kept ends at once: name it")]] copy_reader {
 public:
  copy_reader(copy_reader&& other) noexcept;
  copy_reader& operator=(copy_reader&& other) noexcept;
  ~copy_reader();

  /// The next piece, of whole rows, some 64 KiB; empty: there is no more.
  ///
  /// Completes when:  there is one, or all has come, or ctx ends.
  /// Errors:          as of pool::query; after one it is over, and gives nothing.
  /// Cancellation:    the end of ctx ends the statement in the server.
  [[nodiscard]] result<std::string> next(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<std::string>> async_next(context ctx);

  class impl;
  explicit copy_reader(std::unique_ptr<impl> made) noexcept;

 private:
  std::unique_ptr<impl> impl_;  // null: it was moved from
};

}  // namespace curfew::sql
