#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/detail/task_hooks.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sql/postgres/pool.hpp"
#include "sql/postgres/statement.hpp"
#include "sql/shortened.hpp"

namespace curfew::sql::postgres {

namespace asio = boost::asio;

namespace {

/// Of one that ends a transaction.
result<> ended(answered done, ending how, std::string_view text) {
  if (!done.what) return std::move(done.what).error();
  if (how == ending::commit && done.tag != "COMMIT") {
    return error(errc::rolled_back, std::string(text),
                 error_details::saying("a statement of the transaction had failed"));
  }
  return {};
}

std::string_view text_of(ending how) noexcept { return how == ending::commit ? "commit" : "rollback"; }

std::string begin_text(const transaction_options& how) {
  std::string text = "begin";
  switch (how.level()) {
    case isolation::of_server:
      break;
    case isolation::read_committed:
      text += " isolation level read committed";
      break;
    case isolation::repeatable_read:
      text += " isolation level repeatable read";
      break;
    case isolation::serializable:
      text += " isolation level serializable";
      break;
  }
  if (how.read_only()) text += " read only";
  return text;
}

std::string cursor(std::uint64_t number) { return "curfew_" + std::to_string(number); }
std::string declared(std::uint64_t number, std::string_view what) {
  return "declare " + cursor(number) + " no scroll cursor for " + std::string(what);
}
std::string fetching(std::uint64_t number) {
  return "fetch " + std::to_string(rows_at_a_time) + " from " + cursor(number);
}
std::string closing(std::uint64_t number) { return "close " + cursor(number); }

/// The error of a cursor's statement, as one of its query.
/// \param before  What stands before the query.
error renamed(const error& why, std::string_view what, std::size_t before) {
  // The transaction is over, or a COPY is under way: nothing was sent.
  if (why == std::errc::operation_not_permitted || why == std::errc::device_or_resource_busy) return why;
  auto details = why.details();
  if (details.position > before) details.position -= before;
  return {why.code(), shortened(what) + " : running", std::move(details), why.cause()};
}

}  // namespace

class pool::transaction final : public sql::transaction::impl {
 public:
  transaction(loan on, std::string database)
      : on_(std::make_shared<loan>(std::move(on))),
        database_(std::move(database)) {}
  transaction(const transaction&) = delete;
  transaction& operator=(const transaction&) = delete;
  ~transaction() override { on_->give_back(); }

  result<rows> run(const context& ctx, std::string_view what, const parameters& with) override {
    return send(ctx, what, with, connection::how::prepared);
  }

  asio::awaitable<result<rows>> async_run(context ctx, std::string what, parameters with) override {
    return async_send(std::move(ctx), std::move(what), std::move(with), connection::how::prepared);
  }

  result<std::vector<rows>> run_batch(const context& ctx, const batch& all) override {
    if (auto refused = usable(); !refused) return std::move(refused).error();
    const auto shown = show(ctx, a_batch, database_, **on_);
    const curfew::detail::working_for at_work(shown.ref());
    auto done = statement(*on_, ctx, a_batch, effect::none).run(all);
    std::vector<rows> made = std::move(done.all);
    if (auto kept = after(std::move(done)); !kept) return std::move(kept).error();
    return made;
  }

  asio::awaitable<result<std::vector<rows>>> async_run_batch(context ctx, batch all) override {
    if (auto refused = usable(); !refused) co_return std::move(refused).error();
    const auto shown = show(ctx, a_batch, database_, **on_);
    statement one(*on_, std::move(ctx), a_batch, effect::none);
    auto done = co_await one.async_run(all, curfew::detail::id_of(shown));
    std::vector<rows> made = std::move(done.all);
    if (auto kept = after(std::move(done)); !kept) co_return std::move(kept).error();
    co_return made;
  }

  // A stream is a cursor of the server.
  result<> open(const context& ctx, std::uint64_t number, std::string what, parameters with) override {
    auto done = send(ctx, declared(number, what), with, connection::how::once);
    if (!done) return renamed(done.error(), what, declared(number, {}).size());
    streams_.emplace(number, std::move(what));
    return {};
  }
  asio::awaitable<result<>> async_open(context ctx, std::uint64_t number, std::string what,
                                       parameters with) override {
    auto done =
        co_await async_send(std::move(ctx), declared(number, what), std::move(with), connection::how::once);
    if (!done) co_return renamed(done.error(), what, declared(number, {}).size());
    streams_.emplace(number, std::move(what));
    co_return result<>();
  }

  result<rows> fetch(const context& ctx, std::uint64_t number) override {
    auto some = send(ctx, fetching(number), nothing, connection::how::plain);
    if (!some) return renamed(some.error(), streams_[number], 0);
    if (some->size() == rows_at_a_time) return some;
    auto closed = send(ctx, closing(number), nothing, connection::how::plain);
    if (!closed) return renamed(closed.error(), streams_[number], 0);
    return some;
  }
  asio::awaitable<result<rows>> async_fetch(context ctx, std::uint64_t number) override {
    auto some = co_await async_send(ctx, fetching(number), nothing, connection::how::plain);
    if (!some) co_return renamed(some.error(), streams_[number], 0);
    if (some->size() == rows_at_a_time) co_return some;
    auto closed = co_await async_send(std::move(ctx), closing(number), nothing, connection::how::plain);
    if (!closed) co_return renamed(closed.error(), streams_[number], 0);
    co_return some;
  }
  void close(std::uint64_t number) noexcept override { streams_.erase(number); }

  result<copy_writer> copy_in(const context& ctx, std::string what) override {
    if (auto refused = usable(); !refused) return std::move(refused).error();
    return begin_copy_in(ctx, copies(), std::move(what));
  }
  asio::awaitable<result<copy_writer>> async_copy_in(context ctx, std::string what) override {
    if (auto refused = usable(); !refused) co_return std::move(refused).error();
    co_return co_await async_begin_copy_in(std::move(ctx), copies(), std::move(what));
  }
  result<copy_reader> copy_out(const context& ctx, std::string what) override {
    if (auto refused = usable(); !refused) return std::move(refused).error();
    return begin_copy_out(ctx, copies(), std::move(what));
  }
  asio::awaitable<result<copy_reader>> async_copy_out(context ctx, std::string what) override {
    if (auto refused = usable(); !refused) co_return std::move(refused).error();
    co_return co_await async_begin_copy_out(std::move(ctx), copies(), std::move(what));
  }

  result<> end(const context& ctx, ending how) override {
    if (auto refused = endable(how); !refused || !*on_) return refused;
    const auto shown = show(ctx, text_of(how), database_, **on_);
    const curfew::detail::working_for at_work(shown.ref());
    auto done = statement(*on_, ctx, text_of(how), how == ending::commit ? effect::some : effect::none)
                    .run(nothing, connection::how::plain);
    on_->give_back();
    return ended(std::move(done), how, text_of(how));
  }

  asio::awaitable<result<>> async_end(context ctx, ending how) override {
    if (auto refused = endable(how); !refused || !*on_) co_return refused;
    const auto shown = show(ctx, text_of(how), database_, **on_);
    statement one(*on_, ctx, text_of(how), how == ending::commit ? effect::some : effect::none);
    auto done = co_await one.async_run(nothing, connection::how::plain, curfew::detail::id_of(shown));
    on_->give_back();
    co_return ended(std::move(done), how, text_of(how));
  }

  /// The first statement of all.
  result<> begin(const context& ctx, std::string_view text) {
    auto done = statement(*on_, ctx, text, effect::none).run(nothing, connection::how::plain);
    if (!done.what) return std::move(done.what).error();
    return {};
  }
  asio::awaitable<result<>> async_begin(context ctx, std::string_view text) {
    statement one(*on_, std::move(ctx), text, effect::none);
    auto done = co_await one.async_run(nothing, connection::how::plain, 0);
    if (!done.what) co_return std::move(done.what).error();
    co_return result<>();
  }

 private:
  result<rows> send(const context& ctx, std::string_view what, const parameters& with, connection::how how) {
    if (auto refused = usable(); !refused) return std::move(refused).error();
    const auto shown = show(ctx, what, database_, **on_);
    const curfew::detail::working_for at_work(shown.ref());
    return after(statement(*on_, ctx, what, effect::none).run(with, how));
  }
  asio::awaitable<result<rows>> async_send(context ctx, std::string what, parameters with,
                                           connection::how how) {
    if (auto refused = usable(); !refused) co_return std::move(refused).error();
    const auto shown = show(ctx, what, database_, **on_);
    statement one(*on_, ctx, what, effect::none);
    auto done = co_await one.async_run(with, how, curfew::detail::id_of(shown));
    co_return after(std::move(done));
  }

  /// A statement may have ended the whole transaction: nothing may be run behind it.
  result<rows> after(answered done) {
    if (*on_ && ((*on_)->is_broken() || !(*on_)->in_transaction())) on_->give_back();
    return std::move(done.what);
  }

  [[nodiscard]] bool is_copying() { return *on_ && (*on_)->is_copying(); }
  static error busy() {
    return {std::make_error_code(std::errc::device_or_resource_busy),
            "a COPY of the transaction is neither finished nor read to its end"};
  }
  /// For a statement.
  result<> usable() {
    if (!*on_) return over();
    if (is_copying()) return busy();
    return {};
  }
  /// Where a COPY is under way, the end is a rollback by the pool: then, on_ is empty.
  result<> endable(ending how) {
    if (!*on_) return over();
    if (!is_copying()) return {};
    on_->give_back();
    if (how == ending::rollback) return {};
    return busy();
  }
  copy_place copies() { return {on_, true, database_}; }

  const std::shared_ptr<loan> on_;  // empty: it is over. A COPY has it, too
  const std::string database_;
  std::unordered_map<std::uint64_t, std::string> streams_;  // their texts
};

result<sql::transaction> pool::begin(const context& ctx, const transaction_options& how) {
  const std::string text = begin_text(how);
  auto mine = acquire(ctx, text);
  if (!mine) return std::move(mine).error();
  auto made = std::make_unique<transaction>(*std::move(mine), database_);
  if (auto begun = made->begin(ctx, text); !begun) return std::move(begun).error();
  return sql::transaction(std::move(made));
}

asio::awaitable<result<sql::transaction>> pool::async_begin(context ctx, transaction_options how) {
  return begin_on(self(), std::move(ctx), how);
}

asio::awaitable<result<sql::transaction>> pool::begin_on(std::shared_ptr<pool> of, context ctx,
                                                         transaction_options how) {
  const std::string text = begin_text(how);
  auto mine = co_await of->async_acquire(ctx, text);
  if (!mine) co_return std::move(mine).error();
  auto made = std::make_unique<transaction>(*std::move(mine), of->database_);
  auto begun = co_await made->async_begin(ctx, text);
  if (!begun) co_return std::move(begun).error();
  co_return sql::transaction(std::move(made));
}

}  // namespace curfew::sql::postgres
