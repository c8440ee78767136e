#include "sql/postgres/pool.hpp"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/io/offload.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "sql/postgres/statement.hpp"
#include "sql/shortened.hpp"

namespace curfew::sql::postgres {

namespace asio = boost::asio;

namespace {

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

effect effect_of(detail::purpose why) noexcept {
  return why == detail::purpose::effect ? effect::some : effect::as_its_text_says;
}

/// What has become of the change of its settings.
/// \return why the call fails.
std::optional<error> settled(answered done, loan& on, const session_settings& wanted) {
  if (done.what) {
    on->told().done(wanted);
    return std::nullopt;
  }
  if (on && !done.what.error().sqlstate().empty()) on->told().refused();
  return std::move(done.what).error();
}

/// A statement of the pool must not leave a transaction open; the loan has it rolled back.
result<rows> alone(answered done, loan& on, std::string_view text) {
  if (!on || on->is_broken() || !on->in_transaction()) return std::move(done.what);
  return error(errc::other, shortened(text),
               error_details::saying("transactions are begun by begin() and async_begin()"));
}

}  // namespace

bool is_url(std::string_view url) noexcept {
  return url.starts_with("postgresql://") || url.starts_with("postgres://");
}

pool::pool(const std::string& url, const sql::pool_options& how) : pool(url, parsed(url), how) {}

pool::pool(const std::string& url, const address& at, const sql::pool_options& how)
    : settings_{url, how.prepared(), how.statements(), how.on_connect(), how.on_notice(), at},
      database_(at.shown),
      size_(how.size()),
      wanted_by_(how.on_acquire()),
      janitor_(std::make_shared<janitor>(how.grace())),
      connections_(places(how), [](const std::unique_ptr<connection>& on) { return on->is_alive(); }) {}

void pool::close() noexcept {
  connections_.close();
  janitor_->close();
}

result<loan> pool::take(const context& ctx, std::string_view text) {
  std::optional<error> refused;
  const auto make = [&](const context& c) { return plain(connection::open(c, settings_), refused); };
  auto got = connections_.acquire(ctx, make);
  if (got) return loan(janitor_, *std::move(got));
  return no_connection(got.error(), refused, text, database_);
}

result<loan> pool::acquire(const context& ctx, std::string_view text) {
  if (!wanted_by_) return take(ctx, text);
  const session_settings wanted = wanted_by_(ctx);
  auto mine = take(ctx, text);
  if (!mine) return mine;
  if (const auto change = (*mine)->told().begin(wanted)) {
    auto done =
        statement(*mine, ctx, change->text, effect::none).run(change->values, connection::how::prepared);
    if (auto refused = settled(std::move(done), *mine, wanted)) return *std::move(refused);
  }
  return mine;
}

asio::awaitable<result<loan>> pool::async_acquire(context ctx, std::string_view text) {
  std::optional<error> refused;
  // In a thread: libpq reads files.
  const auto open = [this](const context& c) { return connection::open(c, settings_); };
  const auto make = [&open,
                     &refused](context c) -> asio::awaitable<curfew::result<std::unique_ptr<connection>>> {
    auto made = co_await async_offload(std::move(c), open);
    if (!made) co_return made.error();
    co_return plain(*std::move(made), refused);
  };
  session_settings wanted;
  if (wanted_by_) wanted = wanted_by_(ctx);  // which may throw: nothing is taken yet
  auto got = co_await curfew::async_acquire(ctx, connections_, make);
  if (!got) co_return no_connection(got.error(), refused, text, database_);
  loan mine(janitor_, *std::move(got));
  if (const auto change = mine->told().begin(wanted)) {
    statement one(mine, std::move(ctx), change->text, effect::none);
    auto done = co_await one.async_run(change->values, connection::how::prepared, 0);
    if (auto why = settled(std::move(done), mine, wanted)) co_return *std::move(why);
  }
  co_return mine;
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
    auto one = take(ctx, "connecting");
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
  auto mine = co_await of->async_acquire(ctx, a_batch);
  if (!mine) co_return std::move(mine).error();
  const auto shown = show(ctx, a_batch, of->database_, **mine);
  statement one(*mine, ctx, a_batch, effect::some);
  auto done = co_await one.async_run(all, curfew::detail::id_of(shown));
  std::vector<rows> made = std::move(done.all);
  if (auto kept = alone(std::move(done), *mine, a_batch); !kept) co_return std::move(kept).error();
  co_return made;
}

}  // namespace curfew::sql::postgres
