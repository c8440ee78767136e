#include "sql/postgres/copies.hpp"

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

error over() { return {std::make_error_code(std::errc::operation_not_permitted), "the COPY is over"}; }

/// What a COPY has of its connection, to its end.
class open_copy {
 public:
  open_copy(const context& ctx, copy_place in, std::string text)
      : on_(std::move(in.on)),
        within_(in.within),
        text_(std::move(text)),
        shown_(show(ctx, text_, in.database, **on_)) {}
  open_copy(const open_copy&) = delete;
  open_copy& operator=(const open_copy&) = delete;
  ~open_copy() { cut_off_now(); }

  /// It has a connection, and is not over.
  [[nodiscard]] bool is_open() const noexcept { return !is_over_ && *on_; }
  [[nodiscard]] connection& on() noexcept { return **on_; }
  [[nodiscard]] std::string_view text() const noexcept { return text_; }
  [[nodiscard]] std::uint64_t task() const noexcept { return curfew::detail::id_of(shown_); }
  [[nodiscard]] curfew::detail::working_for at_work() const noexcept {
    return curfew::detail::working_for(shown_.ref());
  }

  /// \param has  If it has a connection of its own. A transaction is rolled back where it is cut off.
  [[nodiscard]] statement as_statement(context ctx, effect has) noexcept {
    return {*on_, std::move(ctx), text_, within_ ? effect::none : has};
  }

  error cut(const context& ctx) {
    auto why = postgres::cut_off(ctx, on().doing());
    cut_off_now();
    return why;
  }
  error lost() {
    auto why = on().lost();
    cut_off_now();
    return why;
  }
  /// It was carried out, or refused: the connection is as behind any statement, unless it was lost, or handed over.
  void end() noexcept {
    if (is_over_) return;
    is_over_ = true;
    shown_.close();
    if (*on_ && (!within_ || on().is_broken() || !on().in_transaction())) on_->give_back();
  }

 private:
  void cut_off_now() noexcept {
    if (is_over_) return;
    is_over_ = true;
    shown_.close();
    on_->give_back();
  }

  const std::shared_ptr<loan> on_;
  const bool within_;  // a transaction
  const std::string text_;
  curfew::detail::open_task shown_;
  bool is_over_ = false;
};

class writer final : public copy_writer::impl {
 public:
  writer(const context& ctx, copy_place in, std::string text) : copy_(ctx, std::move(in), std::move(text)) {}

  /// Completes when the server takes data.
  result<> begin(const context& ctx) {
    return begun(copy_.as_statement(ctx, effect::some).run(nothing, connection::how::copied_in));
  }
  asio::awaitable<result<>> async_begin(context ctx) {
    statement one = copy_.as_statement(std::move(ctx), effect::some);
    auto done = co_await one.async_run(nothing, connection::how::copied_in, copy_.task());
    co_return begun(std::move(done));
  }

  result<> write(const context& ctx, std::string_view some) override {
    if (!copy_.is_open()) return over();
    const auto at_work = copy_.at_work();
    do {
      if (ctx.err()) return copy_.cut(ctx);
      const auto part = next_part(some);
      if (!copy_.on().put(part)) return copy_.lost();
      if (!drive(copy_.on(), ctx)) return copy_.cut(ctx);
      if (copy_.on().is_broken()) return copy_.lost();
    } while (!some.empty());
    return {};
  }
  asio::awaitable<result<>> async_write(context ctx, std::string some) override {
    if (!copy_.is_open()) co_return over();
    std::string_view left = some;
    do {
      if (ctx.err()) co_return copy_.cut(ctx);
      const auto part = next_part(left);
      if (!copy_.on().put(part)) co_return copy_.lost();
      const bool is_sent = co_await async_send(copy_.on(), ctx, copy_.task());
      if (!is_sent) co_return copy_.cut(ctx);
      if (copy_.on().is_broken()) co_return copy_.lost();
    } while (!left.empty());
    co_return result<>();
  }

  result<std::uint64_t> finish(const context& ctx) override {
    if (auto refused = unfinishable(ctx); !refused) return std::move(refused).error();
    const auto at_work = copy_.at_work();
    copy_.on().end_copy();
    return finished(copy_.as_statement(ctx, effect::some).finish());
  }
  asio::awaitable<result<std::uint64_t>> async_finish(context ctx) override {
    if (auto refused = unfinishable(ctx); !refused) co_return std::move(refused).error();
    copy_.on().end_copy();
    std::ignore = co_await async_send(copy_.on(), ctx, copy_.task());
    statement one = copy_.as_statement(std::move(ctx), effect::some);
    auto done = co_await one.async_finish(copy_.task());
    co_return finished(std::move(done));
  }

 private:
  result<> begun(answered done) {
    if (done.what && copy_.is_open() && copy_.on().is_copying()) return {};
    copy_.end();
    if (!done.what) return std::move(done.what).error();
    return no_copy(copy_.text(), "it is no COPY from stdin");
  }
  result<> unfinishable(const context& ctx) {
    if (!copy_.is_open()) return over();
    if (ctx.err()) return copy_.cut(ctx);
    if (copy_.on().is_broken()) return copy_.lost();
    return {};
  }
  /// What goes to libpq at a time, so that it does not hold much.
  static std::string_view next_part(std::string_view& some) noexcept {
    const auto part = some.substr(0, connection::piece_size);
    some.remove_prefix(part.size());
    return part;
  }
  result<std::uint64_t> finished(answered done) {
    copy_.end();
    if (!done.what) return std::move(done.what).error();
    return done.what->affected();
  }

  open_copy copy_;
};

class reader final : public copy_reader::impl {
 public:
  reader(const context& ctx, copy_place in, std::string text) : copy_(ctx, std::move(in), std::move(text)) {}

  /// Waits for the first piece.
  result<> begin(const context& ctx) {
    return begun(copy_.as_statement(ctx, effect::none).run(nothing, connection::how::copied_out));
  }
  asio::awaitable<result<>> async_begin(context ctx) {
    statement one = copy_.as_statement(std::move(ctx), effect::none);
    auto done = co_await one.async_run(nothing, connection::how::copied_out, copy_.task());
    co_return begun(std::move(done));
  }

  result<std::string> next(const context& ctx) override {
    if (!first_.empty()) return std::exchange(first_, {});
    if (!copy_.is_open()) return ended();
    const auto at_work = copy_.at_work();
    if (!drive(copy_.on(), ctx)) return cut(ctx);
    return taken();
  }
  asio::awaitable<result<std::string>> async_next(context ctx) override {
    if (!first_.empty()) co_return std::exchange(first_, {});
    if (!copy_.is_open()) co_return ended();
    const bool has_come = co_await async_drive(copy_.on(), ctx, copy_.task());
    if (!has_come) co_return cut(ctx);
    co_return taken();
  }

 private:
  result<> begun(answered done) {
    if (done.what && !copy_.on().is_copying() && !done.tag.starts_with("COPY"))
      done.what = no_copy(copy_.text(), "it is no COPY to stdout");
    if (!done.what) {
      copy_.end();
      return std::move(done.what).error();
    }
    auto some = taken();
    if (!some) return std::move(some).error();
    first_ = *std::move(some);
    return {};
  }
  error cut(const context& ctx) {
    is_told_ = true;
    return copy_.cut(ctx);
  }
  /// Of one that its transaction's end has cut short: an error, once. A part is not taken for all.
  result<std::string> ended() {
    if (std::exchange(is_told_, true)) return std::string();
    return over();
  }
  result<std::string> taken() {
    auto some = copy_.on().take_piece();
    if (!some || copy_.on().is_idle() || copy_.on().is_broken()) {
      is_told_ = true;
      copy_.end();
    }
    return some;
  }

  open_copy copy_;
  std::string first_;
  bool is_told_ = false;  // how it ended
};

template <class Made, class Handle>
result<Handle> opened(const context& ctx, copy_place in, std::string text) {
  auto made = std::make_unique<Made>(ctx, std::move(in), std::move(text));
  if (auto begun = made->begin(ctx); !begun) return std::move(begun).error();
  return Handle(std::move(made));
}

template <class Made, class Handle>
asio::awaitable<result<Handle>> async_opened(context ctx, copy_place in, std::string text) {
  auto made = std::make_unique<Made>(ctx, std::move(in), std::move(text));
  auto begun = co_await made->async_begin(std::move(ctx));
  if (!begun) co_return std::move(begun).error();
  co_return Handle(std::move(made));
}

}  // namespace

result<copy_writer> begin_copy_in(const context& ctx, copy_place in, std::string text) {
  return opened<writer, copy_writer>(ctx, std::move(in), std::move(text));
}
asio::awaitable<result<copy_writer>> async_begin_copy_in(context ctx, copy_place in, std::string text) {
  return async_opened<writer, copy_writer>(std::move(ctx), std::move(in), std::move(text));
}
result<copy_reader> begin_copy_out(const context& ctx, copy_place in, std::string text) {
  return opened<reader, copy_reader>(ctx, std::move(in), std::move(text));
}
asio::awaitable<result<copy_reader>> async_begin_copy_out(context ctx, copy_place in, std::string text) {
  return async_opened<reader, copy_reader>(std::move(ctx), std::move(in), std::move(text));
}

result<copy_place> pool::copy_on(const context& ctx, std::string_view what) {
  auto mine = acquire(ctx, what);
  if (!mine) return std::move(mine).error();
  return copy_place{std::make_shared<loan>(*std::move(mine)), false, database_};
}
asio::awaitable<result<copy_place>> pool::async_copy_on(context ctx, std::string_view what) {
  auto mine = co_await async_acquire(std::move(ctx), what);
  if (!mine) co_return std::move(mine).error();
  co_return copy_place{std::make_shared<loan>(*std::move(mine)), false, database_};
}

result<sql::copy_writer> pool::copy_in(const context& ctx, std::string what) {
  auto in = copy_on(ctx, what);
  if (!in) return std::move(in).error();
  return begin_copy_in(ctx, *std::move(in), std::move(what));
}

asio::awaitable<result<sql::copy_writer>> pool::async_copy_in(context ctx, std::string what) {
  return copy_in_on(self(), std::move(ctx), std::move(what));
}

asio::awaitable<result<sql::copy_writer>> pool::copy_in_on(std::shared_ptr<pool> of, context ctx,
                                                           std::string what) {
  auto in = co_await of->async_copy_on(ctx, what);
  if (!in) co_return std::move(in).error();
  co_return co_await async_begin_copy_in(std::move(ctx), *std::move(in), std::move(what));
}

result<sql::copy_reader> pool::copy_out(const context& ctx, std::string what) {
  auto in = copy_on(ctx, what);
  if (!in) return std::move(in).error();
  return begin_copy_out(ctx, *std::move(in), std::move(what));
}

asio::awaitable<result<sql::copy_reader>> pool::async_copy_out(context ctx, std::string what) {
  return copy_out_on(self(), std::move(ctx), std::move(what));
}

asio::awaitable<result<sql::copy_reader>> pool::copy_out_on(std::shared_ptr<pool> of, context ctx,
                                                            std::string what) {
  auto in = co_await of->async_copy_on(ctx, what);
  if (!in) co_return std::move(in).error();
  co_return co_await async_begin_copy_out(std::move(ctx), *std::move(in), std::move(what));
}

}  // namespace curfew::sql::postgres
