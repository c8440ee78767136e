#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <concepts>
#include <curfew/core/context.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/pool.hpp>
#include <curfew/sync/retry.hpp>
#include <curfew/sync/sleep.hpp>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace curfew::sql {

/// How `transact` runs its function. Each setter returns the options, so they can be chained; the overload without an
/// argument reads the option.
class transact_options {
 public:
  transact_options& transaction(transaction_options how) { return transaction_ = how, *this; }
  [[nodiscard]] const transaction_options& transaction() const noexcept { return transaction_; }
  /// Which errors are worth another try, how often, and after which time. Default: the transient ones, 10 tries, 10 ms.
  transact_options& retry(retry_policy policy) { return retry_ = std::move(policy), *this; }
  [[nodiscard]] const retry_policy& retry() const noexcept { return retry_; }

 private:
  transaction_options transaction_;
  retry_policy retry_ = retry_policy().initial(std::chrono::milliseconds(10)).max_tries(10);
};

namespace detail {

/// The tries of one transaction.
class transacting {
 public:
  transacting(const context& ctx, const retry_policy& policy) : tries_(ctx, policy) {}

  [[nodiscard]] std::optional<error> refused() const;
  /// \return the error to give up with; none: there may be another try, after `wait()`.
  [[nodiscard]] std::optional<error> failed(error last);
  [[nodiscard]] clock::duration wait() const noexcept { return tries_.wait(); }
  [[nodiscard]] std::optional<error> waited(const curfew::result<>& slept);

 private:
  /// The details of the last one beside what the tries say.
  [[nodiscard]] std::optional<error> with_details(std::optional<curfew::error> why) const;

  curfew::detail::retrying tries_;
  std::optional<error> last_;
};

template <class F>
using transacted = std::remove_cvref_t<std::invoke_result_t<F&, const context&, transaction&>>;

template <class F>
transacted<F> transact_once(const context& ctx, pool& db, F& f, const transaction_options& how) {
  auto tx = db.begin(ctx, how);
  if (!tx) return std::move(tx).error();
  transacted<F> done = std::invoke(f, ctx, *tx);
  if (!done) {
    std::ignore = tx->rollback(ctx);
  } else if (auto kept = tx->commit(ctx); !kept) {
    return std::move(kept).error();
  }
  return done;
}

template <class F>
using async_transacted = std::invoke_result_t<F&, context, transaction&>::value_type;

template <class F>
boost::asio::awaitable<async_transacted<F>> async_transact_once(context ctx, pool& db, F& f,
                                                                const transaction_options& how) {
  auto tx = co_await db.async_begin(ctx, how);
  if (!tx) co_return std::move(tx).error();
  async_transacted<F> done = co_await std::invoke(f, ctx, *tx);
  if (!done) {
    std::ignore = co_await tx->async_rollback(ctx);
    co_return done;
  }
  auto kept = co_await tx->async_commit(ctx);
  if (!kept) co_return std::move(kept).error();
  co_return done;
}

}  // namespace detail

/// Runs `f(ctx, tx)` in a transaction, which is committed if it succeeds, else rolled back; again, if the database gave up a
/// transaction that was in the way of another one:
///
///     auto moved = sql::transact(ctx, db, [](const curfew::context& ctx, sql::transaction& tx) -> sql::result<> {
///       auto taken = tx.execute(ctx, "update accounts set cents = cents - 100 where id = $1", 1);
///       if (!taken) return taken.error();
///       auto given = tx.execute(ctx, "update accounts set cents = cents + 100 where id = $1", 2);
///       if (!given) return given.error();
///       return {};
///     });
///
/// \param f  Returns sql::result<T>; what it throws comes out, and rolls back. It may run several times, so it changes
///           nothing but the database.
/// \return what `f` returned whose transaction was committed.
/// Errors:         the last one; as of curfew::retry, after several tries. One whose error::outcome() is unknown is not
///                 tried again.
/// Cancellation:   f gets ctx, and has to look at it; a wait between tries ends at once.
/// Thread safety:  any thread.
template <class F>
  requires std::invocable<F&, const context&, transaction&>
detail::transacted<F> transact(const context& ctx, pool& db, F&& f, const transact_options& how = {}) {
  detail::transacting tries(ctx, how.retry());
  if (auto why = tries.refused()) return *std::move(why);
  for (;;) {
    auto done = detail::transact_once(ctx, db, f, how.transaction());
    if (done) return done;
    if (auto why = tries.failed(std::move(done).error())) return *std::move(why);
    if (auto why = tries.waited(sleep_for(ctx, tries.wait()))) return *std::move(why);
  }
}

/// The same for coroutines: `auto moved = co_await sql::async_transact(ctx, db, move);`
///
/// \param f  Returns an asio::awaitable of sql::result<T>, and takes its context by value. Name a lambda on a line of its
///           own: g++ 12 destroys one inside a co_await expression twice.
/// Lifetime: the pool lives until completion.
template <class F>
  requires std::invocable<F&, context, transaction&>
boost::asio::awaitable<detail::async_transacted<F>> async_transact(context ctx, pool& db, F f,
                                                                   transact_options how = {}) {
  detail::transacting tries(ctx, how.retry());
  if (auto why = tries.refused()) co_return *std::move(why);
  for (;;) {
    auto done = co_await detail::async_transact_once(ctx, db, f, how.transaction());
    if (done) co_return done;
    if (auto why = tries.failed(std::move(done).error())) co_return *std::move(why);
    const curfew::result<> slept = co_await async_sleep_for(ctx, tries.wait());
    if (auto why = tries.waited(slept)) co_return *std::move(why);
  }
}

}  // namespace curfew::sql
