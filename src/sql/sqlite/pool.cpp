#include "sql/sqlite/pool.hpp"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/io/offload.hpp>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "sql/shortened.hpp"

namespace curfew::sql::sqlite {

namespace asio = boost::asio;

namespace {

constexpr std::string_view scheme = "sqlite:";
constexpr std::string_view in_memory = ":memory:";
constexpr std::size_t most_routes = 1000;

curfew::pool_options places(std::size_t count, const sql::pool_options& how) {
  return curfew::pool_options()
      .capacity(count)
      .max_idle(count)
      .idle_time(how.idle_time())
      .life_time(how.life_time());
}

/// One in memory goes with its connection.
sql::pool_options of_writer(sql::pool_options how, bool is_in_memory) {
  if (is_in_memory) how.idle_time(clock::duration::zero()).life_time(clock::duration::zero());
  return how;
}

/// What the general pool takes; what the database said is kept beside it.
curfew::result<std::unique_ptr<session>> plain(result<std::unique_ptr<session>> made,
                                               std::optional<error>& refused) {
  if (made) return *std::move(made);
  refused = std::move(made).error();
  return curfew::error(refused->code());
}

/// A statement of the pool must not leave a transaction open.
result<rows> run_alone(session& on, const context& ctx, std::string_view text, const parameters& with) {
  auto done = on.run(ctx, text, with);
  if (!on.in_transaction()) return done;
  std::ignore = on.clean();
  return error(errc::other, shortened(text),
               error_details::saying("transactions are begun by begin() and async_begin()"));
}

}  // namespace

std::string_view path_of(std::string_view url) noexcept {
  return url.starts_with(scheme) ? url.substr(scheme.size()) : std::string_view();
}

pool::pool(std::string path, const sql::pool_options& how)
    : options_(how),
      path_(std::move(path)),
      is_in_memory_(path_ == in_memory),
      readers_(places(how.size(), how)),
      writer_(places(1, of_writer(how, is_in_memory_))),
      threads_(static_cast<unsigned>(how.size() + 1)) {}

session::settings pool::settings(bool reads) const {
  return {path_, !reads || is_in_memory_, options_.busy_timeout(), options_.statements(),
          options_.on_connect()};
}

result<pool::lease> pool::acquire(const context& ctx, bool reads, std::string_view text) {
  std::optional<error> refused;
  const auto make = [&](const context& c) { return plain(session::open(c, settings(reads)), refused); };
  auto got = kind(reads).acquire(ctx, make);
  if (got) return *std::move(got);
  return no_connection(got.error(), refused, text, path_);
}

asio::awaitable<result<pool::lease>> pool::async_acquire(context ctx, bool reads, std::string_view text) {
  std::optional<error> refused;
  const auto open = [this, reads](const context& c) { return session::open(c, settings(reads)); };
  const auto make = [this, &open, &refused](context c) -> asio::awaitable<curfew::result<session_ptr>> {
    auto made = co_await async_offload(threads_, std::move(c), open);
    if (!made) co_return made.error();
    co_return plain(*std::move(made), refused);
  };
  auto got = co_await curfew::async_acquire(std::move(ctx), kind(reads), make);
  if (got) co_return *std::move(got);
  co_return no_connection(got.error(), refused, text, path_);
}

std::optional<bool> pool::known_to_read(std::string_view text) const {
  const std::lock_guard guard(mutex_);
  const auto found = routes_.find(text);
  return found == routes_.end() ? std::nullopt : std::optional(found->second);
}

void pool::learn(std::string_view text, bool reads) {
  const std::lock_guard guard(mutex_);
  if (routes_.size() < most_routes) routes_.emplace(text, reads);
}

void pool::clean_up(lease&& used) noexcept {
  threads_.post([mine = std::move(used)]() mutable { give_back(std::move(mine)); });
}

void pool::give_back(lease used) noexcept {
  if (used && !(*used)->clean()) used.discard();
}

void pool::close() noexcept {
  readers_.close();
  writer_.close();
}

pool_stats pool::stats() const {
  const auto reading = readers_.stats();
  const auto writing = writer_.stats();
  return {reading.idle + writing.idle, reading.lent + writing.lent, reading.waiting + writing.waiting};
}

result<rows> pool::run(const context& ctx, std::string_view what, const parameters& with,
                       detail::purpose /*why*/) {
  std::optional<bool> reads = known_to_read(what);
  if (!reads) {
    auto any = acquire(ctx, true, what);
    if (!any) return std::move(any).error();
    auto found = (**any)->only_reads(what);
    if (!found) return std::move(found).error();
    reads = *found;
    learn(what, *reads);
  }
  auto mine = acquire(ctx, *reads, what);
  if (!mine) return std::move(mine).error();
  return run_alone(***mine, ctx, what, with);
}

asio::awaitable<result<rows>> pool::async_run(context ctx, std::string what, parameters with,
                                              detail::purpose /*why*/) {
  return run_on(self(), std::move(ctx), std::move(what), std::move(with));
}

asio::awaitable<result<rows>> pool::run_on(std::shared_ptr<pool> of, context ctx, std::string what,
                                           parameters with) {
  std::optional<bool> reads = of->known_to_read(what);
  if (!reads) {
    auto any = co_await of->async_acquire(ctx, true, what);
    if (!any) co_return std::move(any).error();
    auto& on = ***any;
    const auto look = [&on, &what](const context& /*ctx*/) { return on.only_reads(what); };
    auto found = co_await async_offload(of->threads_, ctx, look);
    if (!found) co_return found.error();
    if (!*found) co_return found->error();
    reads = **found;
    of->learn(what, *reads);
  }
  auto mine = co_await of->async_acquire(ctx, *reads, what);
  if (!mine) co_return std::move(mine).error();
  auto& on = ***mine;
  const auto work = [&on, &what, &with](const context& c) { return run_alone(on, c, what, with); };
  auto done = co_await async_offload(of->threads_, ctx, work);
  if (!done) co_return done.error();
  co_return *std::move(done);
}

result<> pool::warm_up(const context& ctx, std::size_t count) {
  std::vector<lease> all;
  const std::size_t readers = is_in_memory_ ? 0 : std::min(count, options_.size());
  for (std::size_t i = 0; i != readers + 1; ++i) {
    auto one = acquire(ctx, i != readers, "connecting");
    if (!one) return std::move(one).error();
    all.push_back(*std::move(one));
  }
  return {};
}

asio::awaitable<result<>> pool::async_warm_up(context ctx, std::size_t count) {
  return warm_up_on(self(), std::move(ctx), count);
}

asio::awaitable<result<>> pool::warm_up_on(std::shared_ptr<pool> of, context ctx, std::size_t count) {
  const auto work = [&of, count](const context& c) { return of->warm_up(c, count); };
  auto done = co_await async_offload(of->threads_, std::move(ctx), work);
  if (!done) co_return done.error();
  co_return *std::move(done);
}

// Batches.

namespace {

/// Up to the first that fails.
result<std::vector<rows>> run_each(session& on, const context& ctx, const batch& all) {
  std::vector<rows> made;
  made.reserve(all.size());
  for (const auto& each : all.all()) {
    auto done = on.run(ctx, each.text, each.with);
    if (!done) return std::move(done).error();
    // Nothing may be run behind a transaction that a statement has ended.
    if (!on.in_transaction()) {
      return error(errc::other, shortened(each.text),
                   error_details::saying("a batch is one transaction, which no statement of it may end"));
    }
    made.push_back(*std::move(done));
  }
  return made;
}

/// In a transaction of their own; one that is left open is rolled back when the connection is given back.
result<std::vector<rows>> run_together(session& on, const context& ctx, const batch& all) {
  const parameters none;
  if (auto begun = on.run(ctx, "begin immediate", none); !begun) return std::move(begun).error();
  auto done = run_each(on, ctx, all);
  if (!done) return done;
  if (auto kept = on.run(ctx, "commit", none); !kept) return std::move(kept).error();
  return done;
}

}  // namespace

result<std::vector<rows>> pool::run_batch(const context& ctx, const batch& all) {
  auto mine = acquire(ctx, false, a_batch);
  if (!mine) return std::move(mine).error();
  auto done = run_together(***mine, ctx, all);
  give_back(*std::move(mine));
  return done;
}

asio::awaitable<result<std::vector<rows>>> pool::async_run_batch(context ctx, batch all) {
  return run_batch_on(self(), std::move(ctx), std::move(all));
}

asio::awaitable<result<std::vector<rows>>> pool::run_batch_on(std::shared_ptr<pool> of, context ctx,
                                                              batch all) {
  auto mine = co_await of->async_acquire(ctx, false, a_batch);
  if (!mine) co_return std::move(mine).error();
  auto& on = ***mine;
  const auto work = [&on, &all](const context& c) { return run_together(on, c, all); };
  auto done = co_await async_offload(of->threads_, ctx, work);
  of->clean_up(*std::move(mine));
  if (!done) co_return done.error();
  co_return *std::move(done);
}

// Streams.

class pool::stream_of_rows final : public row_stream::impl {
 public:
  stream_of_rows(std::shared_ptr<pool> of, lease on, std::string text, parameters with)
      : of_(std::move(of)),
        used_(std::move(on)),
        text_(std::move(text)),
        with_(std::move(with)) {}
  ~stream_of_rows() override { end(); }

  result<> begin(const context& ctx) {
    if (ctx.err()) return error(curfew::error::ended(ctx, shortened(text_)));
    shown_ = session::show(ctx, text_);
    auto begun = (*used_)->read(text_, std::move(with_));
    if (!begun) {
      end();
      return std::move(begun).error();
    }
    from_ = *std::move(begun);
    return {};
  }

  result<rows> next(const context& ctx) override {
    if (!used_) return rows();
    const curfew::detail::working_for at_work(shown_.ref());
    auto some = from_->some(ctx, rows_at_a_time);
    if (from_->is_over()) end();
    return some;
  }

  asio::awaitable<result<rows>> async_next(context ctx) override {
    const auto work = [this](const context& c) { return next(c); };
    auto some = co_await async_offload(of_->threads_, std::move(ctx), work);
    if (!some) {  // it never got a thread
      end();
      co_return some.error();
    }
    co_return *std::move(some);
  }

 private:
  void end() noexcept {
    if (!used_) return;
    from_.reset();
    give_back(std::move(used_));
    shown_.close();
  }

  const std::shared_ptr<pool> of_;
  lease used_;  // empty: it is over
  const std::string text_;
  parameters with_;
  curfew::detail::open_task shown_;
  std::unique_ptr<session::reading> from_;  // destroyed before its connection is given back
};

result<row_stream> pool::stream(const context& ctx, std::string what, parameters with) {
  auto mine = acquire(ctx, true, what);
  if (!mine) return std::move(mine).error();
  auto made = std::make_unique<stream_of_rows>(self(), *std::move(mine), std::move(what), std::move(with));
  if (auto begun = made->begin(ctx); !begun) return std::move(begun).error();
  return row_stream(std::move(made));
}

asio::awaitable<result<row_stream>> pool::async_stream(context ctx, std::string what, parameters with) {
  return stream_on(self(), std::move(ctx), std::move(what), std::move(with));
}

asio::awaitable<result<row_stream>> pool::stream_on(std::shared_ptr<pool> of, context ctx, std::string what,
                                                    parameters with) {
  auto mine = co_await of->async_acquire(ctx, true, what);
  if (!mine) co_return std::move(mine).error();
  auto made = std::make_unique<stream_of_rows>(of, *std::move(mine), std::move(what), std::move(with));
  stream_of_rows& on = *made;
  const auto work = [&on](const context& c) { return on.begin(c); };
  auto begun = co_await async_offload(of->threads_, ctx, work);
  if (!begun) co_return begun.error();
  if (!*begun) co_return begun->error();
  co_return row_stream(std::move(made));
}

// Transactions.

class pool::transaction final : public sql::transaction::impl {
 public:
  transaction(std::shared_ptr<pool> of, lease on) : of_(std::move(of)), used_(std::move(on)) {}
  ~transaction() override { clean_up(); }

  result<rows> run(const context& ctx, std::string_view what, const parameters& with) override {
    if (!used_) return over();
    auto done = on().run(ctx, what, with);
    // Some errors end the whole transaction: nothing may be run behind it.
    if (!on().in_transaction()) leave();
    return done;
  }

  asio::awaitable<result<rows>> async_run(context ctx, std::string what, parameters with) override {
    const auto work = [this, &what, &with](const context& c) { return run(c, what, with); };
    auto done = co_await async_offload(of_->threads_, std::move(ctx), work);
    if (!done) co_return done.error();
    co_return *std::move(done);
  }

  result<std::vector<rows>> run_batch(const context& ctx, const batch& all) override {
    if (!used_) return over();
    auto done = run_each(on(), ctx, all);
    if (!on().in_transaction()) leave();
    return done;
  }

  asio::awaitable<result<std::vector<rows>>> async_run_batch(context ctx, batch all) override {
    const auto work = [this, &all](const context& c) { return run_batch(c, all); };
    auto done = co_await async_offload(of_->threads_, std::move(ctx), work);
    if (!done) co_return done.error();
    co_return *std::move(done);
  }

  result<> open(const context& ctx, std::uint64_t number, std::string what, parameters with) override {
    if (!used_) return over();
    if (ctx.err()) return error(curfew::error::ended(ctx, shortened(what)));
    auto reads = on().only_reads(what);
    if (!reads) return std::move(reads).error();
    if (!*reads) {
      return error(errc::read_only, shortened(what),
                   error_details::saying("a stream is for what only reads"));
    }
    auto begun = on().read(what, std::move(with));
    if (!begun) return std::move(begun).error();
    streams_.emplace(number, stream{*std::move(begun), session::show(ctx, what)});
    return {};
  }
  asio::awaitable<result<>> async_open(context ctx, std::uint64_t number, std::string what,
                                       parameters with) override {
    const auto work = [&](const context& c) { return open(c, number, std::move(what), std::move(with)); };
    auto done = co_await async_offload(of_->threads_, std::move(ctx), work);
    if (!done) co_return done.error();
    co_return *std::move(done);
  }
  result<rows> fetch(const context& ctx, std::uint64_t number) override {
    if (!used_) return over();
    const stream& one = streams_.at(number);
    const curfew::detail::working_for at_work(one.shown.ref());
    auto some = one.from->some(ctx, rows_at_a_time);
    if (!on().in_transaction()) leave();
    return some;
  }
  asio::awaitable<result<rows>> async_fetch(context ctx, std::uint64_t number) override {
    const auto work = [this, number](const context& c) { return fetch(c, number); };
    auto done = co_await async_offload(of_->threads_, std::move(ctx), work);
    if (!done) co_return done.error();
    co_return *std::move(done);
  }
  void close(std::uint64_t number) noexcept override { streams_.erase(number); }

  result<> end(const context& ctx, ending how) override {
    if (!used_) return over();
    streams_.clear();
    auto done = on().run(ctx, how == ending::commit ? "commit" : "rollback", parameters());
    const bool is_open = on().in_transaction();
    if (!is_open || done) {
      leave();
    } else {
      clean_up();
    }
    if (!done) return std::move(done).error();
    return {};
  }

  asio::awaitable<result<>> async_end(context ctx, ending how) override {
    const auto work = [this, how](const context& c) { return end(c, how); };
    auto done = co_await async_offload(of_->threads_, std::move(ctx), work);
    if (!done) {  // it never got a thread
      clean_up();
      co_return done.error();
    }
    co_return *std::move(done);
  }

  /// The first statement of all.
  result<> begin(const context& ctx, const transaction_options& how) {
    auto begun = on().run(ctx, how.read_only() ? "begin" : "begin immediate", parameters());
    if (!begun) return std::move(begun).error();
    return {};
  }

 private:
  struct stream {
    std::unique_ptr<session::reading> from;
    curfew::detail::open_task shown;
  };

  [[nodiscard]] session& on() noexcept { return **used_; }
  void leave() noexcept {
    streams_.clear();
    give_back(std::move(used_));
  }
  void clean_up() noexcept {
    streams_.clear();
    if (used_) of_->clean_up(std::move(used_));
  }

  const std::shared_ptr<pool> of_;
  lease used_;  // empty: it is over
  std::unordered_map<std::uint64_t, stream> streams_;
};

result<sql::transaction> pool::begin(const context& ctx, const transaction_options& how) {
  auto mine = acquire(ctx, how.read_only(), "begin");
  if (!mine) return std::move(mine).error();
  auto made = std::make_unique<transaction>(self(), *std::move(mine));
  auto begun = made->begin(ctx, how);
  if (!begun) return std::move(begun).error();
  return sql::transaction(std::move(made));
}

asio::awaitable<result<sql::transaction>> pool::async_begin(context ctx, transaction_options how) {
  return begin_on(self(), std::move(ctx), how);
}

asio::awaitable<result<sql::transaction>> pool::begin_on(std::shared_ptr<pool> of, context ctx,
                                                         transaction_options how) {
  auto mine = co_await of->async_acquire(ctx, how.read_only(), "begin");
  if (!mine) co_return std::move(mine).error();
  auto made = std::make_unique<transaction>(of, *std::move(mine));
  transaction& on = *made;
  const auto work = [&on, &how](const context& c) { return on.begin(c, how); };
  auto begun = co_await async_offload(of->threads_, ctx, work);
  if (!begun) co_return begun.error();
  if (!*begun) co_return begun->error();
  co_return sql::transaction(std::move(made));
}

}  // namespace curfew::sql::sqlite
