#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/io/pool.hpp>
#include <curfew/sql/batch.hpp>
#include <curfew/sql/copy.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/listener.hpp>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/row_stream.hpp>
#include <curfew/sql/rows.hpp>
#include <curfew/sql/savepoint.hpp>
#include <curfew/sql/text.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew::sql {

/// What PostgreSQL says beside its answers: `raise notice`, "relation … already exists, skipping".
struct notice {
  std::string severity;  ///< "WARNING", "NOTICE", "INFO", "LOG" or "DEBUG", in whatever language it speaks.
  error_details details;
};

/// Settings of a session with PostgreSQL, by their names: {"app.user", "ann"}.
using session_settings = std::map<std::string, std::string>;

/// How a pool connects. Each setter returns the options, so they can be chained; the overload without an argument reads
/// the option.
class pool_options {
 public:
  /// Connections at a time. Of SQLite one more, which writes. Default: 8.
  pool_options& size(std::size_t count) { return size_ = count, *this; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// How long a connection is kept without a use. Default: 5 minutes.
  pool_options& idle_time(clock::duration d) { return idle_time_ = d, *this; }
  [[nodiscard]] clock::duration idle_time() const noexcept { return idle_time_; }
  /// Age from which a connection is not used again. Default: 0, which is no limit.
  pool_options& life_time(clock::duration d) { return life_time_ = d, *this; }
  [[nodiscard]] clock::duration life_time() const noexcept { return life_time_; }
  /// Adds a statement that each new connection begins with: "set search_path = shop". One that fails fails the call that
  /// needs the connection. Default: none.
  pool_options& on_connect(text what) { return on_connect_.emplace_back(what.view()), *this; }
  [[nodiscard]] const std::vector<std::string>& on_connect() const noexcept { return on_connect_; }
  /// PostgreSQL: hears its notices. It is called in whichever thread reads the answer, so in several at a time; it must not
  /// throw, nor wait, nor use the pool. What is of interest is the server's to say: `client_min_messages`. Default: none.
  pool_options& on_notice(std::function<void(const notice&)> f) { return on_notice_ = std::move(f), *this; }
  [[nodiscard]] const std::function<void(const notice&)>& on_notice() const noexcept { return on_notice_; }
  /// PostgreSQL: with which settings the statements of a call run. It is asked by each call, with the call's context, and carries
  /// values of the request to where row-level security, triggers and logs look for them:
  ///
  ///     sql::pool_options how;
  ///     how.on_acquire([](const curfew::context& ctx) -> sql::session_settings {
  ///       const std::string* who = ctx.value(user_name);
  ///       return {{"app.user", who != nullptr ? *who : ""}};
  ///     });
  ///
  /// A connection that has others is told before the first statement, which takes a round trip. What it was told before and is
  /// not among these is reset: a setting of the program's own is empty then. Nothing else may set them, nor a pooler lend the
  /// connection by transaction. One that the server refuses fails the call.
  ///
  /// It is called in the call's thread, so in several at a time; what it throws, the call throws. A transaction, a stream and a COPY
  /// keep those of the call that began them. Listeners and warm_up do not ask.
  /// Default: none.
  pool_options& on_acquire(std::function<session_settings(const context&)> f) {
    return on_acquire_ = std::move(f), *this;
  }
  [[nodiscard]] const std::function<session_settings(const context&)>& on_acquire() const noexcept {
    return on_acquire_;
  }
  /// SQLite: how long a statement waits for a lock that another process holds, if its context lives that long. Then it
  /// ends with errc::busy. Default: 30 s.
  pool_options& busy_timeout(clock::duration d) { return busy_timeout_ = d, *this; }
  [[nodiscard]] clock::duration busy_timeout() const noexcept { return busy_timeout_; }
  /// PostgreSQL: how long a connection may take to get clean whose statement was cut off, before it is closed; and how
  /// long a write waits for its answer then. Default: 5 s.
  pool_options& grace(clock::duration d) { return grace_ = d, *this; }
  [[nodiscard]] clock::duration grace() const noexcept { return grace_; }
  /// Prepared statements that a connection keeps. Default: 64.
  pool_options& statements(std::size_t count) { return statements_ = count, *this; }
  [[nodiscard]] std::size_t statements() const noexcept { return statements_; }
  /// PostgreSQL: whether statements are prepared. No, where pgbouncer before 1.21 lends its connections by transaction.
  /// Default: yes.
  pool_options& prepared(bool yes) { return prepared_ = yes, *this; }
  [[nodiscard]] bool prepared() const noexcept { return prepared_; }

 private:
  std::size_t size_ = 8;
  clock::duration idle_time_ = std::chrono::minutes(5);
  clock::duration life_time_ = clock::duration::zero();
  clock::duration busy_timeout_ = std::chrono::seconds(30);
  clock::duration grace_ = std::chrono::seconds(5);
  std::vector<std::string> on_connect_;
  std::function<void(const notice&)> on_notice_;
  std::function<session_settings(const context&)> on_acquire_;
  std::size_t statements_ = 64;
  bool prepared_ = true;
};

/// What a transaction sees of others. SQLite's are always serializable.
enum class isolation : std::uint8_t {
  of_server,  ///< What the server is set to; of PostgreSQL by default read_committed.
  read_committed,
  repeatable_read,
  serializable,
};

/// What a transaction may do.
class transaction_options {
 public:
  /// It only reads: of SQLite it waits for no writer. Default: no.
  transaction_options& read_only(bool yes) { return read_only_ = yes, *this; }
  [[nodiscard]] bool read_only() const noexcept { return read_only_; }
  /// Default: what the server is set to.
  transaction_options& level(isolation l) { return level_ = l, *this; }
  [[nodiscard]] isolation level() const noexcept { return level_; }

 private:
  bool read_only_ = false;
  isolation level_ = isolation::of_server;
};

class pool_state;
class transaction;

namespace detail {

/// What a statement is for: its rows, or its effect.
enum class purpose : std::uint8_t { rows, effect };

}  // namespace detail

/// Connections to a database, and statements on them:
///
///     sql::pool db("sqlite:shop.db");
///     auto found = db.query(ctx, "select id, name from users where age > $1", 18);
///     if (!found) return found.error();
///     for (auto [id, name] : found->as<std::int64_t, std::string>()) std::cout << id << ' ' << name << '\n';
///
/// A statement ends in the database when its context ends, and its connection is used again only when it is clean. In a
/// coroutine nothing blocks its thread.
///
/// URL: `sqlite:path`, relative or absolute, which is made if it is not there; `sqlite::memory:` for one that goes with the
/// pool. SQLite's file is in WAL mode, foreign keys are enforced. `postgresql://user@host:port/database?…`, as libpq
/// takes it, with `sslmode` and the other parameters; what is left out comes from libpq's environment (PGPASSFILE, …). Of several
/// hosts, `postgresql://app@db1,db2/shop?target_session_attrs=primary`, one that cannot be reached, that does not answer
/// within `connect_timeout` (of each; without it 5 s of all but the last), or that has another role is passed over.
///
/// All statements:
/// Completes when:  it is done, or fails, or ctx ends, in each phase: waiting for a connection, waiting for a lock, running.
/// Errors:          the end of ctx, with its cause; sql::errc; errc::closed where the pool is gone. The error names the
///                  statement, shortened and without values, and the phase. error::outcome() says what became of it.
/// Cancellation:    what was canceled did not happen, unless error::outcome() says otherwise. Of PostgreSQL a read returns
///                  at once, while the pool ends it in the server; a write waits for the server's answer, within
///                  pool_options::grace(). A read is a `query` of select, values, table, show, explain or with, without a
///                  word that writes; one that calls a function that writes belongs into `execute`, or a transaction.
/// Lifetime:        texts, values and the pool may go once the call has begun.
/// Thread safety:   any thread, any number of calls at a time; as many run as there are connections, first come, first served.
class pool {
 public:
  /// Connects at the first use.
  /// Throws: std::system_error with errc::bad_url; std::bad_alloc.
  explicit pool(std::string_view url, const pool_options& options = {});
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;
  /// Ends what waits for a connection; what runs ends by itself. Waits until what was cut off has ended in the server, at
  /// most for the grace.
  ~pool();

  /// Runs one statement, and keeps all of its rows.
  template <class... Values>
  [[nodiscard]] result<rows> query(const context& ctx, text what, const Values&... values) {
    return run(ctx, what.view(), parameters(values...), detail::purpose::rows);
  }
  template <class... Values>
  [[nodiscard]] boost::asio::awaitable<result<rows>> async_query(context ctx, text what,
                                                                 const Values&... values) {
    return async_run(std::move(ctx), std::string(what.view()), parameters(values...), detail::purpose::rows);
  }

  /// The same, as structs, by position:
  ///
  ///     auto people = db.query_as<person>(ctx, "select id, name from users");
  ///
  /// Defined in <curfew/sql/structs.hpp>. Errors: errc::conversion, too; the error names the column.
  template <class T, class... Values>
  [[nodiscard]] result<std::vector<T>> query_as(const context& ctx, text what, const Values&... values);
  template <class T, class... Values>
  [[nodiscard]] boost::asio::awaitable<result<std::vector<T>>> async_query_as(context ctx, text what,
                                                                              const Values&... values);

  /// The same for one whose rows do not matter. \return how many it has changed.
  template <class... Values>
  [[nodiscard]] result<std::uint64_t> execute(const context& ctx, text what, const Values&... values) {
    auto done = run(ctx, what.view(), parameters(values...), detail::purpose::effect);
    if (!done) return std::move(done).error();
    return done->affected();
  }
  template <class... Values>
  [[nodiscard]] boost::asio::awaitable<result<std::uint64_t>> async_execute(context ctx, text what,
                                                                            const Values&... values) {
    return async_change(std::move(ctx), std::string(what.view()), parameters(values...));
  }

  /// The same for more rows than there is memory for; see row_stream. It is for queries that only
  /// read: SQLite refuses others, with errc::read_only.
  template <class... Values>
  [[nodiscard]] result<row_stream> stream(const context& ctx, text what, const Values&... values) {
    return begin_stream(ctx, std::string(what.view()), parameters(values...));
  }
  template <class... Values>
  [[nodiscard]] boost::asio::awaitable<result<row_stream>> async_stream(context ctx, text what,
                                                                        const Values&... values) {
    return async_begin_stream(std::move(ctx), std::string(what.view()), parameters(values...));
  }

  /// Runs statements together, in a transaction of their own: all of them or none.
  /// \return what each has answered.
  /// Errors: that of the first that failed, which it names. `begin` and its like are no statements of a batch.
  [[nodiscard]] result<std::vector<rows>> run_batch(const context& ctx, const batch& all);
  [[nodiscard]] boost::asio::awaitable<result<std::vector<rows>>> async_run_batch(context ctx, batch all);

  /// Begins a transaction, which is rolled back unless it is committed.
  [[nodiscard]] result<transaction> begin(const context& ctx, transaction_options how = {});
  [[nodiscard]] boost::asio::awaitable<result<transaction>> async_begin(context ctx,
                                                                        transaction_options how = {});

  /// Makes connections that are there when they are needed: at the start of a program, which learns then what is wrong with
  /// its URL.
  /// \param count  At most as many as the pool has.
  [[nodiscard]] result<> warm_up(const context& ctx, std::size_t count = 1);
  [[nodiscard]] boost::asio::awaitable<result<>> async_warm_up(context ctx, std::size_t count = 1);

  /// Listens to a channel of NOTIFY.
  /// \param channel  Its name, as it is: no matter which letters, nothing has to be quoted.
  /// Errors: std::errc::operation_not_supported of SQLite, which has none.
  [[nodiscard]] result<listener> listen(const context& ctx, std::string_view channel);
  [[nodiscard]] boost::asio::awaitable<result<listener>> async_listen(context ctx, std::string channel);

  /// Begins a COPY of PostgreSQL that takes data, `copy … from stdin`, or gives it, `copy … to stdout`.
  /// Errors: std::errc::operation_not_supported of SQLite, which has none.
  [[nodiscard]] result<copy_writer> copy_in(const context& ctx, text what);
  [[nodiscard]] boost::asio::awaitable<result<copy_writer>> async_copy_in(context ctx, text what);
  [[nodiscard]] result<copy_reader> copy_out(const context& ctx, text what);
  [[nodiscard]] boost::asio::awaitable<result<copy_reader>> async_copy_out(context ctx, text what);

  [[nodiscard]] pool_stats stats() const;

 private:
  result<rows> run(const context& ctx, std::string_view what, const parameters& with, detail::purpose why);
  boost::asio::awaitable<result<rows>> async_run(context ctx, std::string what, parameters with,
                                                 detail::purpose why);
  boost::asio::awaitable<result<std::uint64_t>> async_change(context ctx, std::string what, parameters with);
  result<row_stream> begin_stream(const context& ctx, std::string what, parameters with);
  boost::asio::awaitable<result<row_stream>> async_begin_stream(context ctx, std::string what,
                                                                parameters with);

  std::shared_ptr<pool_state> state_;
};

/// A transaction, on a connection of its own. Statements are as those of `pool`.
///
/// One that is destroyed, or whose statement was cut off, is rolled back by the pool, in a thread of its own. Nothing is
/// ever run outside of it: after its end, statements fail with std::errc::operation_not_permitted.
///
/// Lifetime:       may outlive the pool.
/// Thread safety:  one call at a time.
class [[nodiscard("a transaction that is not kept is rolled back at once: name it")]] transaction {
 public:
  transaction(transaction&& other) noexcept;
  transaction& operator=(transaction&& other) noexcept;
  ~transaction();

  template <class... Values>
  [[nodiscard]] result<rows> query(const context& ctx, text what, const Values&... values) {
    return run(ctx, what.view(), parameters(values...));
  }
  template <class... Values>
  [[nodiscard]] boost::asio::awaitable<result<rows>> async_query(context ctx, text what,
                                                                 const Values&... values) {
    return async_run(std::move(ctx), std::string(what.view()), parameters(values...));
  }
  template <class... Values>
  [[nodiscard]] result<std::uint64_t> execute(const context& ctx, text what, const Values&... values) {
    auto done = run(ctx, what.view(), parameters(values...));
    if (!done) return std::move(done).error();
    return done->affected();
  }
  template <class... Values>
  [[nodiscard]] boost::asio::awaitable<result<std::uint64_t>> async_execute(context ctx, text what,
                                                                            const Values&... values) {
    return async_change(std::move(ctx), std::string(what.view()), parameters(values...));
  }

  /// The same for more rows than there is memory for; see row_stream. It has no connection of its own: other statements of
  /// the transaction may run between its parts. Whether they change what it gives is SQLite's to say; of PostgreSQL they do
  /// not. It is over when its transaction ends, and fails with std::errc::operation_not_permitted then. It is for queries that
  /// only read: others are refused, by SQLite with errc::read_only, by PostgreSQL with errc::syntax.
  ///
  /// One that is destroyed before its last row ends at once; PostgreSQL keeps it, unread, until the end of the transaction.
  template <class... Values>
  [[nodiscard]] result<row_stream> stream(const context& ctx, text what, const Values&... values) {
    return begin_stream(ctx, std::string(what.view()), parameters(values...));
  }
  template <class... Values>
  [[nodiscard]] boost::asio::awaitable<result<row_stream>> async_stream(context ctx, text what,
                                                                        const Values&... values) {
    return async_begin_stream(std::move(ctx), std::string(what.view()), parameters(values...));
  }

  /// Runs statements together, up to the first that fails.
  [[nodiscard]] result<std::vector<rows>> run_batch(const context& ctx, const batch& all);
  [[nodiscard]] boost::asio::awaitable<result<std::vector<rows>>> async_run_batch(context ctx, batch all);

  /// Begins a COPY of PostgreSQL on the transaction's connection. Until it is finished, or read to its end, everything else
  /// that is asked of the transaction fails with std::errc::device_or_resource_busy, but for its end: one that is committed is
  /// rolled back then. A COPY that is destroyed before, or is cut off, ends its transaction as any statement does that is cut
  /// off. What the server does not like of a row is an error like that of another statement: a savepoint may go back behind it.
  /// Errors: std::errc::operation_not_supported of SQLite, which has none.
  [[nodiscard]] result<copy_writer> copy_in(const context& ctx, text what);
  [[nodiscard]] boost::asio::awaitable<result<copy_writer>> async_copy_in(context ctx, text what);
  [[nodiscard]] result<copy_reader> copy_out(const context& ctx, text what);
  [[nodiscard]] boost::asio::awaitable<result<copy_reader>> async_copy_out(context ctx, text what);

  /// Begins a part that may be given up alone; see savepoint.
  [[nodiscard]] result<sql::savepoint> savepoint(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<sql::savepoint>> async_savepoint(context ctx);

  /// Makes its changes last. After an error it is over: error::outcome() says whether they do.
  [[nodiscard]] result<> commit(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<>> async_commit(context ctx);

  /// Gives its changes up, at once; as the destructor, which does not wait.
  [[nodiscard]] result<> rollback(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<>> async_rollback(context ctx);

  class impl;
  explicit transaction(std::unique_ptr<impl> made);

 private:
  result<rows> run(const context& ctx, std::string_view what, const parameters& with);
  boost::asio::awaitable<result<rows>> async_run(context ctx, std::string what, parameters with);
  boost::asio::awaitable<result<std::uint64_t>> async_change(context ctx, std::string what, parameters with);
  result<row_stream> begin_stream(const context& ctx, std::string what, parameters with);
  boost::asio::awaitable<result<row_stream>> async_begin_stream(context ctx, std::string what,
                                                                parameters with);

  std::shared_ptr<open_transaction> open_;  // null: it was moved from
};

}  // namespace curfew::sql
