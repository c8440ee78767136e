#include <boost/asio/awaitable.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "sql/postgres/drive.hpp"
#include "sql/postgres/pool.hpp"
#include "sql/postgres/statement.hpp"
#include "sql/shortened.hpp"

namespace curfew::sql::postgres {

namespace asio = boost::asio;

class pool::stream_of_rows final : public row_stream::impl {
 public:
  stream_of_rows(loan on, const context& ctx, const std::string& database, std::string text, parameters with)
      : on_(std::move(on)),
        text_(std::move(text)),
        with_(std::move(with)),
        shown_(show(ctx, text_, database, *on_)) {}

  /// Sends the query, and waits for its first rows.
  result<> begin(const context& ctx) {
    if (auto begun = start(ctx); !begun) return begun;
    return keep_first(more(ctx));
  }
  asio::awaitable<result<>> async_begin(context ctx) {
    if (auto begun = start(ctx); !begun) co_return std::move(begun).error();
    auto some = co_await async_more(std::move(ctx));
    co_return keep_first(std::move(some));
  }

  result<rows> next(const context& ctx) override {
    if (first_) return *std::exchange(first_, std::nullopt);
    if (!on_) return rows();
    return more(ctx);
  }
  asio::awaitable<result<rows>> async_next(context ctx) override {
    if (first_) co_return *std::exchange(first_, std::nullopt);
    if (!on_) co_return rows();
    co_return co_await async_more(std::move(ctx));
  }

 private:
  result<> start(const context& ctx) {
    if (ctx.err()) return error(curfew::error::ended(ctx, shortened(text_)));
    return on_->start(text_, with_, connection::how::streamed);
  }
  result<> keep_first(result<rows> some) {
    if (!some) return std::move(some).error();
    first_ = *std::move(some);
    return {};
  }

  result<rows> more(const context& ctx) {
    const curfew::detail::working_for at_work(shown_.ref());
    if (!drive(*on_, ctx)) return cut(ctx);
    return taken();
  }
  asio::awaitable<result<rows>> async_more(context ctx) {
    const bool has_come = co_await async_drive(*on_, ctx, curfew::detail::id_of(shown_));
    if (!has_come) co_return cut(ctx);
    co_return taken();
  }

  error cut(const context& ctx) {
    auto why = cut_off(ctx, on_->doing());
    end();
    return why;
  }
  result<rows> taken() {
    auto some = on_->take();
    if (!some || on_->is_idle() || on_->is_broken()) end();
    return some;
  }
  void end() {
    on_.give_back();
    shown_.close();
  }

  loan on_;  // empty: it is over
  const std::string text_;
  const parameters with_;
  curfew::detail::open_task shown_;
  std::optional<rows> first_;
};

result<row_stream> pool::stream(const context& ctx, std::string what, parameters with) {
  auto mine = acquire(ctx, what);
  if (!mine) return std::move(mine).error();
  auto made =
      std::make_unique<stream_of_rows>(*std::move(mine), ctx, database_, std::move(what), std::move(with));
  if (auto begun = made->begin(ctx); !begun) return std::move(begun).error();
  return row_stream(std::move(made));
}

asio::awaitable<result<row_stream>> pool::async_stream(context ctx, std::string what, parameters with) {
  return stream_on(self(), std::move(ctx), std::move(what), std::move(with));
}

asio::awaitable<result<row_stream>> pool::stream_on(std::shared_ptr<pool> of, context ctx, std::string what,
                                                    parameters with) {
  auto mine = co_await of->async_acquire(ctx, what);
  if (!mine) co_return std::move(mine).error();
  auto made = std::make_unique<stream_of_rows>(*std::move(mine), ctx, of->database_, std::move(what),
                                               std::move(with));
  auto begun = co_await made->async_begin(ctx);
  if (!begun) co_return std::move(begun).error();
  co_return row_stream(std::move(made));
}

}  // namespace curfew::sql::postgres
