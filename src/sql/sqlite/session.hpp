#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/rows.hpp>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace curfew::sql::sqlite {

/// A connection to a file. A statement runs in the calling thread, and ends with its context by three means, each of which
/// closes a gap of the others: an interrupt, which stops what runs within microseconds and does nothing to what is about
/// to begin; the progress handler, which asks the context each 1000 steps of the virtual machine; the busy handler,
/// which waits for another's lock under the context.
///
/// An interrupt does not reach another statement: it is sent under a callback of the context that is gone before `run`
/// returns, and SQLite forgets it when the next statement begins while none is open. So none is sent while one is that is
/// read some rows at a time: the progress handler ends statements then.
///
/// What SQLite says decides: a statement that came to its end is done, though its context has ended meanwhile.
///
/// Thread safety: one thread at a time.
class session {
 public:
  struct settings {
    std::string path;
    bool writes;
    clock::duration busy_timeout;
    std::size_t statements;
    std::vector<std::string> on_connect;
  };

  static result<std::unique_ptr<session>> open(const context& ctx, const settings& how);
  session(const session&) = delete;
  session& operator=(const session&) = delete;
  ~session();

  /// A statement, as inspection shows it.
  [[nodiscard]] static curfew::detail::open_task show(const context& ctx, std::string_view text);

  [[nodiscard]] result<rows> run(const context& ctx, std::string_view text, const parameters& with);

  /// A statement whose rows are taken some at a time, while others may run.
  class reading;
  /// \param with  Kept.
  [[nodiscard]] result<std::unique_ptr<reading>> read(std::string_view text, parameters with);
  /// Does it change nothing in the database?
  [[nodiscard]] result<bool> only_reads(std::string_view text);
  [[nodiscard]] bool in_transaction() const noexcept {
    return ::sqlite3_get_autocommit(database_.get()) == 0;
  }
  /// Rolls back, whatever the state. \return false: the connection is of no use any more.
  [[nodiscard]] bool clean() noexcept;

 private:
  struct close {
    void operator()(sqlite3* database) const noexcept { ::sqlite3_close_v2(database); }
  };
  struct finalize {
    void operator()(sqlite3_stmt* statement) const noexcept { ::sqlite3_finalize(statement); }
  };
  using statement_ptr = std::unique_ptr<sqlite3_stmt, finalize>;
  struct prepared {
    std::string text;
    statement_ptr statement;
    std::vector<int> places;  // of $1, $2 and so on, as SQLite numbers them
  };
  class running;

  explicit session(const settings& how) : how_(how) {}

  /// Looks for it among those that are kept; it is the first of statements_ then.
  [[nodiscard]] result<const prepared*> prepare(std::string_view text);
  void drop_old() noexcept;
  [[nodiscard]] result<> bind(const prepared& to, const parameters& with);
  [[nodiscard]] result<> bind_one(sqlite3_stmt* statement, int at, const detail::parameter& value,
                                  std::string_view text);
  /// \param most  Rows that it takes; 0: all.
  [[nodiscard]] result<rows> step(const prepared& what, const context& ctx, std::size_t most);
  [[nodiscard]] error failed(int code, std::string_view text, const char* phase) const;
  static int on_progress(void* self) noexcept;
  static int on_busy(void* self, int times) noexcept;

  const settings how_;
  std::unique_ptr<sqlite3, close> database_;
  std::list<prepared> statements_;  // the last one used first; destroyed before the database
  std::unordered_map<std::string_view, std::list<prepared>::iterator> by_text_;
  std::size_t readings_ = 0;      // that are open
  const context* ctx_ = nullptr;  // of what runs
  clock::time_point busy_since_;
};

/// It goes before its session.
class session::reading {
 public:
  reading(session& of, std::list<prepared> what, parameters with);
  reading(const reading&) = delete;
  reading& operator=(const reading&) = delete;
  ~reading();

  [[nodiscard]] result<> bind() { return of_.bind(what_.front(), with_); }
  /// \param most  Rows that it takes. Fewer: that is all.
  [[nodiscard]] result<rows> some(const context& ctx, std::size_t most);
  /// It has come to its end, or failed.
  [[nodiscard]] bool is_over() const noexcept { return is_over_; }

 private:
  session& of_;
  std::list<prepared> what_;  // one, which its session does not keep meanwhile
  const parameters with_;
  bool is_over_ = false;
};

}  // namespace curfew::sql::sqlite
