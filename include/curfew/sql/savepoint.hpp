#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/sql/error.hpp>
#include <memory>

namespace curfew::sql {

class open_transaction;

/// A part of a transaction that may be given up alone. It is rolled back unless it is released:
///
///     auto tx = db.begin(ctx);
///     if (!tx) return tx.error();
///     auto part = tx->savepoint(ctx);
///     if (!part) return part.error();
///     auto added = tx->execute(ctx, "insert into users (id, name) values ($1, $2)", 1, "Ann");
///     if (added) {
///       if (auto kept = part->release(ctx); !kept) return kept.error();
///     } else if (added.error() == sql::errc::unique_violation) {
///       if (auto back = part->rollback(ctx); !back) return back.error();   // of PostgreSQL nothing else would work now
///     } else {
///       return added.error();
///     }
///     return tx->commit(ctx);
///
/// One that is destroyed rolls back what happened since, before the next statement of its transaction or its commit, which
/// report what goes wrong with that. Savepoints that began later are rolled back with it, and so are those that are open when
/// it is released, or the transaction committed. Streams that began later are over.
///
/// After its end, and that of its transaction, calls fail with std::errc::operation_not_permitted.
///
/// Lifetime:       may outlive its transaction.
/// Thread safety:  one call at a time, of its transaction, its streams and its savepoints together.
class [[nodiscard("a savepoint that is not kept is rolled back at once: name it")]] savepoint {
 public:
  savepoint(savepoint&& other) noexcept;
  savepoint& operator=(savepoint&& other) noexcept;
  ~savepoint();

  /// What happened since belongs to the transaction now.
  /// Errors and cancellation: as of a statement of the transaction. After an error it is still open.
  [[nodiscard]] result<> release(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<>> async_release(context ctx);

  /// Gives up what happened since, at once.
  [[nodiscard]] result<> rollback(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<>> async_rollback(context ctx);

 private:
  friend open_transaction;
  savepoint(std::shared_ptr<open_transaction> of, std::uint64_t number) noexcept;
  void leave() noexcept;

  std::shared_ptr<open_transaction> of_;  // null: it was moved from
  std::uint64_t number_;
};

}  // namespace curfew::sql
