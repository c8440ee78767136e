#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/on_done.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace curfew_dashboard {

/// SQLite says that something is wrong: with our SQL, the file, or memory.
class sqlite_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A connection. Closed when it is destroyed, after its statements.
/// Throws: sqlite_error, as all of this file.
/// Thread safety: one thread at a time.
class sqlite_connection {
 public:
  /// \param path  Is created if it is not there; ":memory:" for one that is nowhere.
  explicit sqlite_connection(const std::string& path);

  /// Runs statements that give no rows.
  void execute(const char* sql);
  [[nodiscard]] sqlite3* get() const noexcept { return database_.get(); }

 private:
  struct close {
    void operator()(sqlite3* database) const noexcept;
  };
  std::unique_ptr<sqlite3, close> database_;
};

/// What one step of a statement led to.
enum class sqlite_step {
  row,    ///< The columns can be read.
  done,   ///< There are no more.
  ended,  ///< Interrupted: the context of the connection's guard has ended.
};

/// A prepared statement. Preparing it can be interrupted as well: then every step says `ended`.
class sqlite_statement {
 public:
  sqlite_statement(const sqlite_connection& connection, const char* sql);

  /// Starts anew, with new parameters, numbered from 1.
  void reset();
  void bind(int parameter, std::int64_t number);
  void bind(int parameter, std::string_view text);

  [[nodiscard]] sqlite_step step();
  /// Steps until there are no more rows. \return done or ended.
  sqlite_step run();

  [[nodiscard]] std::int64_t number(int column) const;
  [[nodiscard]] std::string text(int column) const;

 private:
  void check(int code) const;

  struct finalize {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };
  std::unique_ptr<sqlite3_stmt, finalize> statement_;  // null: interrupted while it was prepared
};

/// While it lives, the end of `ctx` interrupts what runs on the connection.
///
/// Two means, because each has a gap that the other closes. sqlite3_interrupt stops what runs within
/// microseconds, but does nothing to a statement that is about to start: SQLite forgets the call when the
/// first statement starts to run. The progress handler asks for the context's err every 1000 steps of the
/// virtual machine: a statement that started just then is stopped by it. After the destructor has returned
/// neither will stop a later statement: on_done's destructor waits for an interrupt under way, and SQLite
/// forgets that one when the next statement starts.
class query_guard {
 public:
  /// Lifetime: `connection` outlives it.
  query_guard(const sqlite_connection& connection, const curfew::context& ctx);
  query_guard(const query_guard&) = delete;
  query_guard& operator=(const query_guard&) = delete;
  ~query_guard();

 private:
  struct interrupt {
    sqlite3* database;
    void operator()() const noexcept { ::sqlite3_interrupt(database); }
  };

  const sqlite_connection& connection_;
  curfew::context ctx_;
  curfew::on_done<interrupt> ending_;
};

}  // namespace curfew_dashboard
