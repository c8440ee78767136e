#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/rows.hpp>
#include <memory>

namespace curfew::sql {

/// The rows of a query, some at a time: as many as there are, in constant memory. The database waits for its reader.
///
///     auto all = db.stream(ctx, "select id, name from users");
///     if (!all) return all.error();
///     for (;;) {
///       auto some = all->next(ctx);
///       if (!some) return some.error();
///       if (some->empty()) break;
///       for (auto [id, name] : some->as<std::int64_t, std::string>()) std::cout << id << ' ' << name << '\n';
///     }
///
/// It has a connection of its own until its last row was read, it fails, or it is destroyed; the query is ended in the
/// database then.
///
/// Lifetime:       may outlive the pool.
/// Thread safety:  one call at a time.
class [[nodiscard("a stream that is not kept ends its query at once: name it")]] row_stream {
 public:
  row_stream(row_stream&& other) noexcept;
  row_stream& operator=(row_stream&& other) noexcept;
  ~row_stream();

  /// The next rows, some hundred; none: there are no more.
  ///
  /// Completes when:  there are some, or the query is over, or ctx ends.
  /// Errors:          as of pool::query; after one the stream is over, and gives none.
  /// Cancellation:    the end of ctx ends the query in the database, and the stream.
  [[nodiscard]] result<rows> next(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<rows>> async_next(context ctx);

  class impl;
  explicit row_stream(std::unique_ptr<impl> made) noexcept;

 private:
  std::unique_ptr<impl> impl_;  // null: it was moved from
};

}  // namespace curfew::sql
