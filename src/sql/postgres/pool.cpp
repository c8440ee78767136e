#include "sql/postgres/pool.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <cctype>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/io/offload.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "sql/shortened.hpp"

namespace curfew::sql::postgres {

namespace asio = boost::asio;

namespace {

constexpr task_kind of_query{"query"};
constexpr std::string_view a_batch = "a batch";
const parameters nothing;

curfew::pool_options places(const sql::pool_options& how) {
  return curfew::pool_options()
      .capacity(how.size())
      .max_idle(how.size())
      .idle_time(how.idle_time())
      .life_time(how.life_time());
}

address parsed(const std::string& url) {
  auto made = parse_url(url);
  if (!made) throw std::system_error(made.error().code(), made.error().details().message);
  return *std::move(made);
}

/// What the general pool takes; what the server said is kept beside it.
curfew::result<std::unique_ptr<connection>> plain(result<std::unique_ptr<connection>> made,
                                                  std::optional<error>& refused) {
  if (made) return *std::move(made);
  refused = std::move(made).error();
  return curfew::error(refused->code());
}

bool is_of_word(char c) noexcept { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// Whether a statement only reads, as far as its words say: one that is cut off need not be waited for then. Of what is not
/// certain: no.
bool only_reads(std::string_view text) {
  static constexpr std::array<std::string_view, 6> reads{"select", "values", "table",
                                                         "show",   "with",   "explain"};
  static constexpr std::array<std::string_view, 6> writes{"insert", "update", "delete",
                                                          "merge",  "into",   "analyze"};
  const auto is_in = [](const auto& words, const std::string& word) {
    return std::ranges::find(words, word) != words.end();
  };
  bool is_first = true;
  for (std::size_t at = 0; at != text.size();) {
    if (!is_of_word(text[at])) {
      ++at;
      continue;
    }
    std::string word;
    for (; at != text.size() && is_of_word(text[at]); ++at)
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(text[at])));
    if (is_first && !is_in(reads, word)) return false;
    if (is_in(writes, word)) return false;
    is_first = false;
  }
  return true;
}

/// A statement, as inspection shows it.
curfew::detail::open_task show(const context& ctx, std::string_view text, const std::string& database,
                               const connection& on) {
  if (curfew::detail::task_listener() == nullptr) [[likely]]
    return {};
  const std::string name = shortened(text) + " [" + database + ", " + std::to_string(on.process()) + ']';
  return {ctx, of_query, name, ctx.origin()};
}

std::string quoted_name(std::string_view name) {
  std::string made("\"");
  for (const char c : name) {
    if (c == '"') made += c;
    made += c;
  }
  return made + '"';
}

struct answered {
  result<rows> what;
  std::string tag;             // "COMMIT"
  std::vector<rows> all = {};  // of a batch
};

/// Has the caller of a statement that was cut off to know whether it was carried out?
enum class effect : std::uint8_t { none, some, as_its_text_says };

effect effect_of(detail::purpose why) noexcept {
  return why == detail::purpose::effect ? effect::some : effect::as_its_text_says;
}

/// One statement on a connection, up to what has become of it. The steps that its two drivers share.
class statement {
 public:
  statement(loan& on, context ctx, std::string_view text, effect has) noexcept
      : on_(on),
        ctx_(std::move(ctx)),
        text_(text),
        effect_(has) {}

  answered run(const parameters& with, connection::how sent) {
    if (auto started = start(with, sent); !started) return {std::move(started).error(), {}};
    return finish();
  }
  answered run(const batch& all) {
    if (ctx_.err()) return {error(curfew::error::ended(ctx_, std::string(text_))), {}};
    if (auto started = on_->start(all); !started) return {std::move(started).error(), {}};
    return finish();
  }

  asio::awaitable<answered> async_run(const parameters& with, connection::how sent, std::uint64_t task) {
    if (auto started = start(with, sent); !started) co_return answered{std::move(started).error(), {}};
    const bool is_done = co_await async_drive(*on_, ctx_, task);
    if (is_done) co_return settled();
    const auto waits = leave();
    if (!waits) co_return left();
    curfew::detail::about_to_wait("query", task);
    std::ignore = co_await async_wait(waits->known().done());
    co_return said(*waits);
  }

 private:
  result<> start(const parameters& with, connection::how sent) {
    if (ctx_.err()) return error(curfew::error::ended(ctx_, shortened(text_)));
    return on_->start(text_, with, sent);
  }

  [[nodiscard]] bool may_have_happened() const {
    if (!on_->was_sent()) return false;
    return effect_ == effect::some || (effect_ == effect::as_its_text_says && !only_reads(text_));
  }

  answered finish() {
    if (drive(*on_, ctx_)) return settled();
    const auto waits = leave();
    if (!waits) return left();
    waits->known().done().wait();
    return said(*waits);
  }

  answered settled() {
    auto done = on_->take();
    if (!done && done.error() == errc::connection_lost && may_have_happened())
      done = done.error().with(outcome::unknown);
    return {std::move(done), std::string(on_->tag()), on_->take_batch()};
  }
  static answered said(verdict& by) { return {by.take(), std::string(by.tag()), by.take_batch()}; }

  /// \return null: the caller does not wait.
  std::shared_ptr<verdict> leave() {
    const bool waits = may_have_happened();
    ended_ = cut_off(ctx_, on_->doing());
    if (waits) return on_.hand_over(ctx_);
    on_.give_back();
    return nullptr;
  }
  answered left() { return {*std::move(ended_), {}}; }

  loan& on_;
  const context ctx_;
  const std::string_view text_;
  const effect effect_;
  std::optional<error> ended_;
};

/// A statement of the pool must not leave a transaction open; the loan has it rolled back.
result<rows> alone(answered done, loan& on, std::string_view text) {
  if (!on || on->is_broken() || !on->in_transaction()) return std::move(done.what);
  return error(errc::other, shortened(text),
               error_details::saying("transactions are begun by begin() and async_begin()"));
}

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

}  // namespace

bool is_url(std::string_view url) noexcept {
  return url.starts_with("postgresql://") || url.starts_with("postgres://");
}

void loan::give_back() noexcept {
  if (!of_) return;
  connection& on = **of_;
  if (on.is_broken()) {
    of_.discard();
  } else if (on.is_idle() && !on.in_transaction()) {
    const lease back(std::move(of_));
  } else {
    by_->take(std::move(of_));
  }
}

std::shared_ptr<verdict> loan::hand_over(const context& ctx) {
  auto waits = std::make_shared<verdict>(ctx);
  by_->take(std::move(of_), waits);
  return waits;
}

pool::pool(const std::string& url, const sql::pool_options& how) : pool(url, parsed(url), how) {}

pool::pool(const std::string& url, const address& at, const sql::pool_options& how)
    : settings_{url, how.prepared(), how.statements(), how.on_connect(), at.connect_timeout},
      database_(at.shown),
      size_(how.size()),
      janitor_(std::make_shared<janitor>(how.grace())),
      connections_(places(how), [](const std::unique_ptr<connection>& on) { return on->is_alive(); }) {}

void pool::close() noexcept {
  connections_.close();
  janitor_->close();
}

result<loan> pool::acquire(const context& ctx, std::string_view text) {
  std::optional<error> refused;
  const auto make = [&](const context& c) { return plain(connection::open(c, settings_), refused); };
  auto got = connections_.acquire(ctx, make);
  if (got) return loan(janitor_, *std::move(got));
  return no_connection(got.error(), refused, text, database_);
}

asio::awaitable<result<loan>> pool::async_acquire(context ctx, std::string_view text) {
  std::optional<error> refused;
  // In a thread: libpq looks up names and reads files.
  const auto open = [this](const context& c) { return connection::open(c, settings_); };
  const auto make = [&open,
                     &refused](context c) -> asio::awaitable<curfew::result<std::unique_ptr<connection>>> {
    auto made = co_await async_offload(std::move(c), open);
    if (!made) co_return made.error();
    co_return plain(*std::move(made), refused);
  };
  auto got = co_await curfew::async_acquire(std::move(ctx), connections_, make);
  if (got) co_return loan(janitor_, *std::move(got));
  co_return no_connection(got.error(), refused, text, database_);
}

result<rows> pool::run(const context& ctx, std::string_view what, const parameters& with,
                       detail::purpose why) {
  auto mine = acquire(ctx, what);
  if (!mine) return std::move(mine).error();
  const auto shown = show(ctx, what, database_, **mine);
  const curfew::detail::working_for at_work(shown.ref());
  statement one(*mine, ctx, what, effect_of(why));
  return alone(one.run(with, connection::how::prepared), *mine, what);
}

asio::awaitable<result<rows>> pool::async_run(context ctx, std::string what, parameters with,
                                              detail::purpose why) {
  return run_on(self(), std::move(ctx), std::move(what), std::move(with), why);
}

asio::awaitable<result<rows>> pool::run_on(std::shared_ptr<pool> of, context ctx, std::string what,
                                           parameters with, detail::purpose why) {
  auto mine = co_await of->async_acquire(ctx, what);
  if (!mine) co_return std::move(mine).error();
  const auto shown = show(ctx, what, of->database_, **mine);
  statement one(*mine, ctx, what, effect_of(why));
  auto done = co_await one.async_run(with, connection::how::prepared, curfew::detail::id_of(shown));
  co_return alone(std::move(done), *mine, what);
}

result<> pool::warm_up(const context& ctx, std::size_t count) {
  std::vector<loan> all;
  for (std::size_t i = 0; i != std::min(count, size_); ++i) {
    auto one = acquire(ctx, "connecting");
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
  auto done = co_await async_offload(std::move(ctx), work);
  if (!done) co_return done.error();
  co_return *std::move(done);
}

// Batches.

result<std::vector<rows>> pool::run_batch(const context& ctx, const batch& all) {
  auto mine = acquire(ctx, a_batch);
  if (!mine) return std::move(mine).error();
  const auto shown = show(ctx, a_batch, database_, **mine);
  const curfew::detail::working_for at_work(shown.ref());
  auto done = statement(*mine, ctx, a_batch, effect::some).run(all);
  std::vector<rows> made = std::move(done.all);
  if (auto kept = alone(std::move(done), *mine, a_batch); !kept) return std::move(kept).error();
  return made;
}

asio::awaitable<result<std::vector<rows>>> pool::async_run_batch(context ctx, batch all) {
  return run_batch_on(self(), std::move(ctx), std::move(all));
}

asio::awaitable<result<std::vector<rows>>> pool::run_batch_on(std::shared_ptr<pool> of, context ctx,
                                                              batch all) {
  // In a thread: what is sent and what comes back may both be more than the sockets hold, so it waits for either.
  const auto work = [&of, &all](const context& c) { return of->run_batch(c, all); };
  auto done = co_await async_offload(std::move(ctx), work);
  if (!done) co_return done.error();
  co_return *std::move(done);
}

// Streams.

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

// Listeners.

class pool::listener final : public sql::listener::impl {
 public:
  explicit listener(std::unique_ptr<connection> on) : on_(std::move(on)) {}

  result<notification> next(const context& ctx) override { return next_notification(*on_, ctx); }
  asio::awaitable<result<notification>> async_next(context ctx) override {
    return async_next_notification(*on_, std::move(ctx));
  }

 private:
  const std::unique_ptr<connection> on_;
};

result<sql::listener> pool::listen(const context& ctx, const std::string& channel) {
  const std::string text = "listen " + quoted_name(channel);
  auto made = connection::open(ctx, settings_);
  if (!made) return no_connection(made.error(), made.error(), text, database_);
  if (auto sent = (*made)->start(text, nothing, connection::how::plain); !sent)
    return std::move(sent).error();
  if (!drive(**made, ctx)) return cut_off(ctx, text);
  if (auto done = (*made)->take(); !done) return std::move(done).error();
  return sql::listener(std::make_unique<listener>(*std::move(made)));
}

asio::awaitable<result<sql::listener>> pool::async_listen(context ctx, std::string channel) {
  return listen_on(self(), std::move(ctx), std::move(channel));
}

asio::awaitable<result<sql::listener>> pool::listen_on(std::shared_ptr<pool> of, context ctx,
                                                       std::string channel) {
  const auto work = [&of, &channel](const context& c) { return of->listen(c, channel); };
  auto made = co_await async_offload(std::move(ctx), work);
  if (!made) co_return made.error();
  co_return *std::move(made);
}

// Transactions.

class pool::transaction final : public sql::transaction::impl {
 public:
  transaction(loan on, std::string database) : on_(std::move(on)), database_(std::move(database)) {}

  result<rows> run(const context& ctx, std::string_view what, const parameters& with) override {
    if (!on_) return over();
    const auto shown = show(ctx, what, database_, *on_);
    const curfew::detail::working_for at_work(shown.ref());
    return after(statement(on_, ctx, what, effect::none).run(with, connection::how::prepared));
  }

  asio::awaitable<result<rows>> async_run(context ctx, std::string what, parameters with) override {
    if (!on_) co_return over();
    const auto shown = show(ctx, what, database_, *on_);
    statement one(on_, ctx, what, effect::none);
    auto done = co_await one.async_run(with, connection::how::prepared, curfew::detail::id_of(shown));
    co_return after(std::move(done));
  }

  result<std::vector<rows>> run_batch(const context& ctx, const batch& all) override {
    if (!on_) return over();
    const auto shown = show(ctx, a_batch, database_, *on_);
    const curfew::detail::working_for at_work(shown.ref());
    auto done = statement(on_, ctx, a_batch, effect::none).run(all);
    std::vector<rows> made = std::move(done.all);
    if (auto kept = after(std::move(done)); !kept) return std::move(kept).error();
    return made;
  }

  asio::awaitable<result<std::vector<rows>>> async_run_batch(context ctx, batch all) override {
    const auto work = [this, &all](const context& c) { return run_batch(c, all); };
    auto done = co_await async_offload(std::move(ctx), work);
    if (!done) co_return done.error();
    co_return *std::move(done);
  }

  result<> end(const context& ctx, ending how) override {
    if (!on_) return over();
    const auto shown = show(ctx, text_of(how), database_, *on_);
    const curfew::detail::working_for at_work(shown.ref());
    auto done = statement(on_, ctx, text_of(how), how == ending::commit ? effect::some : effect::none)
                    .run(nothing, connection::how::plain);
    on_.give_back();
    return ended(std::move(done), how, text_of(how));
  }

  asio::awaitable<result<>> async_end(context ctx, ending how) override {
    if (!on_) co_return over();
    const auto shown = show(ctx, text_of(how), database_, *on_);
    statement one(on_, ctx, text_of(how), how == ending::commit ? effect::some : effect::none);
    auto done = co_await one.async_run(nothing, connection::how::plain, curfew::detail::id_of(shown));
    on_.give_back();
    co_return ended(std::move(done), how, text_of(how));
  }

  /// The first statement of all.
  result<> begin(const context& ctx, std::string_view text) {
    auto done = statement(on_, ctx, text, effect::none).run(nothing, connection::how::plain);
    if (!done.what) return std::move(done.what).error();
    return {};
  }
  asio::awaitable<result<>> async_begin(context ctx, std::string_view text) {
    statement one(on_, std::move(ctx), text, effect::none);
    auto done = co_await one.async_run(nothing, connection::how::plain, 0);
    if (!done.what) co_return std::move(done.what).error();
    co_return result<>();
  }

 private:
  /// A statement may have ended the whole transaction: nothing may be run behind it.
  result<rows> after(answered done) {
    if (on_ && (on_->is_broken() || !on_->in_transaction())) on_.give_back();
    return std::move(done.what);
  }

  loan on_;  // empty: it is over
  const std::string database_;
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
