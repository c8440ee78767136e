#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/io/pool.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/rows.hpp>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sql/postgres/connection.hpp"

namespace curfew::sql::postgres {

using connections = curfew::pool<std::unique_ptr<connection>>;
using lease = connections::lease;

/// What becomes of a statement whose caller has gone, and waits to know.
class verdict {
 public:
  /// \param ctx  Whose end has cut the statement off.
  explicit verdict(context ctx);

  /// Ends when it is known.
  [[nodiscard]] const context& known() const noexcept { return known_.ctx(); }
  /// After that, once.
  [[nodiscard]] result<rows> take() { return *std::exchange(said_, std::nullopt); }
  /// After that: what was carried out last, "COMMIT".
  [[nodiscard]] std::string_view tag() const noexcept { return tag_; }

  /// After that: of a batch.
  [[nodiscard]] std::vector<rows> take_batch() { return std::exchange(batch_, {}); }

  /// By the janitor, once.
  void say(result<rows> what, std::string_view tag, std::vector<rows> of_batch);
  [[nodiscard]] const context& ctx() const noexcept { return ctx_; }

 private:
  const context ctx_;
  cancel_scope known_;
  std::optional<result<rows>> said_;
  std::string tag_;
  std::vector<rows> batch_;
};

/// Takes connections that are not clean, and gives them back when they are: a thread, which runs while there are any.
///
///     a statement runs ─cancel─► its answer ─┬─ a transaction is open ─ROLLBACK─► idle ─► given back
///        ▲        │                          └─ none, and no cancel is under way ───────► given back
///        └─again──┘
///     the grace is over, or the server has gone ─► closed ─the server has had time to notice─► its place is free
///
/// Invariants
///  1. A connection is given back only after the server is ready for a query, and after the end of each cancel that was sent for
///     it: so none reaches a later statement.
///  2. Its place in the pool is taken until then; of one that was closed until its server looks whether the client is there.
///  3. A cancel blocks in libpq, so it has a thread of its own. At most `most_cancels` at a time, beside those that were given
///     up with their connection: libpq waits for their answer without an end. Of those there are at most `most_given_up`; then
///     none is sent, and a server notices by itself that its client has gone.
///
/// Thread safety: any thread.
class janitor : public std::enable_shared_from_this<janitor> {
 public:
  explicit janitor(clock::duration grace);
  janitor(const janitor&) = delete;
  janitor& operator=(const janitor&) = delete;
  ~janitor();

  /// \param waits  Null: no caller waits for what becomes of it.
  void take(lease used, std::shared_ptr<verdict> waits = nullptr) noexcept;
  /// The pool is gone: waits until no connection is left that can be cleaned, at most for the grace.
  void close() noexcept;

 private:
  struct patient;
  struct request;
  static constexpr std::size_t most_cancels = 4;
  static constexpr std::size_t most_given_up = 32;

  void run() noexcept;
  /// \return false: it is done with.
  bool attend(patient& each, clock::time_point now);
  void send_cancel(patient& each, clock::time_point now) noexcept;
  /// In a thread of its own.
  void cancel(const std::function<void()>& send, request& sent) noexcept;
  void give_up(patient& each) noexcept;
  static void tell(patient& each);
  void condemn(patient& each, clock::time_point now);
  void wait(std::list<patient>& all, clock::time_point until) const noexcept;

  const clock::duration grace_;
  wake_event waker_;

  std::mutex mutex_;
  std::condition_variable emptied_;
  // Guarded by mutex_.
  std::list<patient> inbox_;
  bool runs_ = false;
  bool is_closing_ = false;
  std::size_t cancels_ = 0;   // under way
  std::size_t given_up_ = 0;  // the same, of connections that are closed
};

}  // namespace curfew::sql::postgres
