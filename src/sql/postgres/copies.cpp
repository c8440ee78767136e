#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/detail/task_hooks.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "sql/postgres/drive.hpp"
#include "sql/postgres/pool.hpp"
#include "sql/postgres/statement.hpp"
#include "sql/shortened.hpp"

namespace curfew::sql::postgres {

namespace asio = boost::asio;

namespace {

error no_copy(std::string_view text, const char* expected) {
  return error(errc::other, shortened(text), error_details::saying(expected)).with(outcome::happened);
}

}  // namespace

class pool::copy_writer final : public sql::copy_writer::impl {
 public:
  copy_writer(loan on, const context& ctx, const std::string& database, std::string text)
      : on_(std::move(on)),
        text_(std::move(text)),
        shown_(show(ctx, text_, database, *on_)) {}

  /// Completes when the server takes data.
  result<> begin(const context& ctx) {
    return begun(statement(on_, ctx, text_, effect::some).run(nothing, connection::how::copied_in));
  }
  asio::awaitable<result<>> async_begin(context ctx) {
    statement one(on_, std::move(ctx), text_, effect::some);
    auto done = co_await one.async_run(nothing, connection::how::copied_in, task());
    co_return begun(std::move(done));
  }

  result<> write(const context& ctx, std::string_view some) override {
    if (!on_) return over();
    const curfew::detail::working_for at_work(shown_.ref());
    do {
      if (ctx.err()) return cut(ctx);
      const auto part = next_part(some);
      if (!on_->put(part)) return lost();
      if (!drive(*on_, ctx)) return cut(ctx);
      if (on_->is_broken()) return lost();
    } while (!some.empty());
    return {};
  }
  asio::awaitable<result<>> async_write(context ctx, std::string some) override {
    if (!on_) co_return over();
    std::string_view left = some;
    do {
      if (ctx.err()) co_return cut(ctx);
      const auto part = next_part(left);
      if (!on_->put(part)) co_return lost();
      const bool is_sent = co_await async_send(*on_, ctx, task());
      if (!is_sent) co_return cut(ctx);
      if (on_->is_broken()) co_return lost();
    } while (!left.empty());
    co_return result<>();
  }

  result<std::uint64_t> finish(const context& ctx) override {
    if (!on_) return over();
    if (ctx.err()) return cut(ctx);
    if (on_->is_broken()) return lost();
    const curfew::detail::working_for at_work(shown_.ref());
    on_->end_copy();
    return finished(statement(on_, ctx, text_, effect::some).finish());
  }
  asio::awaitable<result<std::uint64_t>> async_finish(context ctx) override {
    if (!on_) co_return over();
    if (ctx.err()) co_return cut(ctx);
    if (on_->is_broken()) co_return lost();
    on_->end_copy();
    std::ignore = co_await async_send(*on_, ctx, task());
    statement one(on_, std::move(ctx), text_, effect::some);
    auto done = co_await one.async_finish(task());
    co_return finished(std::move(done));
  }

 private:
  [[nodiscard]] std::uint64_t task() const noexcept { return curfew::detail::id_of(shown_); }
  result<> begun(answered done) {
    if (!done.what) return std::move(done.what).error();
    if (on_ && on_->is_copying()) return {};
    return no_copy(text_, "it is no COPY from stdin");
  }
  /// What goes to libpq at a time, so that it does not hold much.
  static std::string_view next_part(std::string_view& some) noexcept {
    const auto part = some.substr(0, connection::piece_size);
    some.remove_prefix(part.size());
    return part;
  }
  static error over() {
    return {std::make_error_code(std::errc::operation_not_permitted), "the COPY is over"};
  }
  error cut(const context& ctx) {
    auto why = cut_off(ctx, on_->doing());
    end();
    return why;
  }
  error lost() {
    auto why = on_->lost();
    end();
    return why;
  }
  result<std::uint64_t> finished(answered done) {
    end();
    if (!done.what) return std::move(done.what).error();
    return done.what->affected();
  }
  void end() {
    on_.give_back();
    shown_.close();
  }

  loan on_;  // empty: it is over
  const std::string text_;
  curfew::detail::open_task shown_;
};

result<sql::copy_writer> pool::copy_in(const context& ctx, const std::string& what) {
  auto mine = acquire(ctx, what);
  if (!mine) return std::move(mine).error();
  auto made = std::make_unique<copy_writer>(*std::move(mine), ctx, database_, what);
  if (auto begun = made->begin(ctx); !begun) return std::move(begun).error();
  return sql::copy_writer(std::move(made));
}

asio::awaitable<result<sql::copy_writer>> pool::async_copy_in(context ctx, std::string what) {
  return copy_in_on(self(), std::move(ctx), std::move(what));
}

asio::awaitable<result<sql::copy_writer>> pool::copy_in_on(std::shared_ptr<pool> of, context ctx,
                                                           std::string what) {
  auto mine = co_await of->async_acquire(ctx, what);
  if (!mine) co_return std::move(mine).error();
  auto made = std::make_unique<copy_writer>(*std::move(mine), ctx, of->database_, std::move(what));
  auto begun = co_await made->async_begin(std::move(ctx));
  if (!begun) co_return std::move(begun).error();
  co_return sql::copy_writer(std::move(made));
}

class pool::copy_reader final : public sql::copy_reader::impl {
 public:
  copy_reader(loan on, const context& ctx, const std::string& database, std::string text)
      : on_(std::move(on)),
        text_(std::move(text)),
        shown_(show(ctx, text_, database, *on_)) {}

  /// Waits for the first piece.
  result<> begin(const context& ctx) {
    return begun(statement(on_, ctx, text_, effect::none).run(nothing, connection::how::copied_out));
  }
  asio::awaitable<result<>> async_begin(context ctx) {
    statement one(on_, std::move(ctx), text_, effect::none);
    auto done = co_await one.async_run(nothing, connection::how::copied_out, task());
    co_return begun(std::move(done));
  }

  result<std::string> next(const context& ctx) override {
    if (!first_.empty()) return std::exchange(first_, {});
    if (!on_) return std::string();
    const curfew::detail::working_for at_work(shown_.ref());
    if (!drive(*on_, ctx)) return cut(ctx);
    return taken();
  }
  asio::awaitable<result<std::string>> async_next(context ctx) override {
    if (!first_.empty()) co_return std::exchange(first_, {});
    if (!on_) co_return std::string();
    const bool has_come = co_await async_drive(*on_, ctx, curfew::detail::id_of(shown_));
    if (!has_come) co_return cut(ctx);
    co_return taken();
  }

 private:
  [[nodiscard]] std::uint64_t task() const noexcept { return curfew::detail::id_of(shown_); }
  result<> begun(answered done) {
    if (!done.what) return std::move(done.what).error();
    if (!on_->is_copying() && !done.tag.starts_with("COPY")) return no_copy(text_, "it is no COPY to stdout");
    auto some = taken();
    if (!some) return std::move(some).error();
    first_ = *std::move(some);
    return {};
  }
  error cut(const context& ctx) {
    auto why = cut_off(ctx, on_->doing());
    end();
    return why;
  }
  result<std::string> taken() {
    auto some = on_->take_piece();
    if (!some || on_->is_idle() || on_->is_broken()) end();
    return some;
  }
  void end() {
    on_.give_back();
    shown_.close();
  }

  loan on_;  // empty: it is over
  const std::string text_;
  curfew::detail::open_task shown_;
  std::string first_;
};

result<sql::copy_reader> pool::copy_out(const context& ctx, const std::string& what) {
  auto mine = acquire(ctx, what);
  if (!mine) return std::move(mine).error();
  auto made = std::make_unique<copy_reader>(*std::move(mine), ctx, database_, what);
  if (auto begun = made->begin(ctx); !begun) return std::move(begun).error();
  return sql::copy_reader(std::move(made));
}

asio::awaitable<result<sql::copy_reader>> pool::async_copy_out(context ctx, std::string what) {
  return copy_out_on(self(), std::move(ctx), std::move(what));
}

asio::awaitable<result<sql::copy_reader>> pool::copy_out_on(std::shared_ptr<pool> of, context ctx,
                                                            std::string what) {
  auto mine = co_await of->async_acquire(ctx, what);
  if (!mine) co_return std::move(mine).error();
  auto made = std::make_unique<copy_reader>(*std::move(mine), ctx, of->database_, std::move(what));
  auto begun = co_await made->async_begin(std::move(ctx));
  if (!begun) co_return std::move(begun).error();
  co_return sql::copy_reader(std::move(made));
}

}  // namespace curfew::sql::postgres
