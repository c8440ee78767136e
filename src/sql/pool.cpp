#include <curfew/sql/pool.hpp>

#include <boost/asio/awaitable.hpp>
#include <curfew/io/offload.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <mutex>
#include <optional>
#include <system_error>
#include <unordered_map>

#include "sql/sqlite/session.hpp"

namespace curfew::sql {

namespace asio = boost::asio;

namespace {

constexpr std::string_view scheme = "sqlite:";
constexpr std::string_view in_memory = ":memory:";
constexpr std::size_t most_routes = 1000;

std::string path_of(std::string_view url) {
  if (!url.starts_with(scheme) || url.size() == scheme.size())
    throw std::system_error(errc::bad_url, "sqlite:<path>, not " + std::string(url));
  return std::string(url.substr(scheme.size()));
}

curfew::pool_options places(std::size_t count, const pool_options& how) {
  return curfew::pool_options().capacity(count).max_idle(count).idle_time(how.idle_time());
}

}  // namespace

/// The connections of a pool: several that read, and one that writes; a database in memory has one for all.
struct pool_state {
  using session_ptr = std::unique_ptr<sqlite::session>;
  using sessions = curfew::pool<session_ptr>;
  using lease = sessions::lease;

  pool_state(std::string_view url, const pool_options& how)
      : options(how),
        path(path_of(url)),
        is_in_memory(path == in_memory),
        readers(places(how.size(), how)),
        writer(places(1, is_in_memory ? pool_options(how).idle_time(clock::duration::zero()) : how)),
        threads(static_cast<unsigned>(how.size() + 1)) {}

  [[nodiscard]] sqlite::session::settings settings(bool reads) const {
    return {path, !reads || is_in_memory, options.busy_timeout(), options.statements()};
  }

  /// Those for a statement that reads, or writes.
  [[nodiscard]] sessions& kind(bool reads) noexcept { return reads && !is_in_memory ? readers : writer; }

  /// \param text  Of what waits for it.
  [[nodiscard]] result<lease> acquire(const context& ctx, bool reads, std::string_view text) {
    std::optional<error> refused;
    const auto make = [&](const context& c) {
      return plain(sqlite::session::open(c, settings(reads)), refused);
    };
    auto got = kind(reads).acquire(ctx, make);
    if (got) return *std::move(got);
    return refused ? connecting(*refused, text) : waiting(got.error(), text);
  }

  asio::awaitable<result<lease>> async_acquire(context ctx, bool reads, std::string_view text) {
    std::optional<error> refused;
    const auto open = [this, reads](const context& c) { return sqlite::session::open(c, settings(reads)); };
    const auto make = [this, &open, &refused](context c) -> asio::awaitable<curfew::result<session_ptr>> {
      auto made = co_await async_offload(threads, std::move(c), open);
      if (!made) co_return made.error();
      co_return plain(*std::move(made), refused);
    };
    auto got = co_await curfew::async_acquire(std::move(ctx), kind(reads), make);
    if (got) co_return *std::move(got);
    if (refused) co_return connecting(*refused, text);
    co_return waiting(got.error(), text);
  }

  [[nodiscard]] error connecting(const error& why, std::string_view text) const {
    return {why.code(), sqlite::shortened(text) + " : connecting to " + path, why.details(), why.cause()};
  }
  static error waiting(const curfew::error& why, std::string_view text) {
    return {why.code(), sqlite::shortened(text) + " : waiting for a connection", {}, why.cause()};
  }

  /// What the general pool takes; what the database said is kept beside it.
  static curfew::result<session_ptr> plain(result<session_ptr> made, std::optional<error>& refused) {
    if (made) return *std::move(made);
    refused = std::move(made).error();
    return curfew::error(refused->code());
  }

  [[nodiscard]] std::optional<bool> known_to_read(std::string_view text) const {
    const std::lock_guard guard(mutex);
    const auto found = routes.find(std::string(text));
    return found == routes.end() ? std::nullopt : std::optional(found->second);
  }
  void learn(std::string_view text, bool reads) {
    const std::lock_guard guard(mutex);
    if (routes.size() < most_routes) routes.emplace(text, reads);
  }

  /// Gives a connection back, rolled back where it has to be: in a thread of the pool, since that may wait.
  void clean_up(lease&& used) noexcept {
    threads.post([mine = std::move(used)]() mutable { give_back(std::move(mine)); });
  }
  static void give_back(lease used) noexcept {
    if (used && !(*used)->clean()) used.discard();
  }

  const pool_options options;
  const std::string path;
  const bool is_in_memory;
  sessions readers;
  sessions writer;
  mutable std::mutex mutex;
  std::unordered_map<std::string, bool> routes;  // guarded by mutex: which statements only read
  thread_pool threads;                           // last: its destructor waits for what uses the rest
};

namespace {

/// A statement of the pool must not leave a transaction open.
result<rows> run_alone(sqlite::session& on, const context& ctx, std::string_view text,
                       const parameters& with) {
  auto done = on.run(ctx, text, with);
  if (!on.in_transaction()) return done;
  std::ignore = on.clean();
  return error(errc::other, sqlite::shortened(text),
               error_details::saying("transactions are begun by begin() and async_begin()"));
}

}  // namespace

pool::pool(std::string_view url, const pool_options& options)
    : state_(std::make_shared<pool_state>(url, options)) {}

pool::~pool() {
  state_->readers.close();
  state_->writer.close();
}

pool_stats pool::stats() const {
  const auto reading = state_->readers.stats();
  const auto writing = state_->writer.stats();
  return {reading.idle + writing.idle, reading.lent + writing.lent, reading.waiting + writing.waiting};
}

result<rows> pool::run(const context& ctx, std::string_view what, const parameters& with) {
  const auto state = state_;
  std::optional<bool> reads = state->known_to_read(what);
  if (!reads) {
    auto any = state->acquire(ctx, true, what);
    if (!any) return std::move(any).error();
    auto found = (**any)->only_reads(what);
    if (!found) return std::move(found).error();
    reads = *found;
    state->learn(what, *reads);
  }
  auto mine = state->acquire(ctx, *reads, what);
  if (!mine) return std::move(mine).error();
  return run_alone(***mine, ctx, what, with);
}

asio::awaitable<result<rows>> pool::async_run(context ctx, std::string what, parameters with) {
  const auto state = state_;
  std::optional<bool> reads = state->known_to_read(what);
  if (!reads) {
    auto any = co_await state->async_acquire(ctx, true, what);
    if (!any) co_return std::move(any).error();
    auto& session = ***any;
    const auto look = [&session, &what](const context& /*ctx*/) { return session.only_reads(what); };
    auto found = co_await async_offload(state->threads, ctx, look);
    if (!found) co_return found.error();
    if (!*found) co_return found->error();
    reads = **found;
    state->learn(what, *reads);
  }
  auto mine = co_await state->async_acquire(ctx, *reads, what);
  if (!mine) co_return std::move(mine).error();
  auto& session = ***mine;
  const auto work = [&session, &what, &with](const context& c) { return run_alone(session, c, what, with); };
  auto done = co_await async_offload(state->threads, ctx, work);
  if (!done) co_return done.error();
  co_return *std::move(done);
}

asio::awaitable<result<std::uint64_t>> pool::async_change(context ctx, std::string what, parameters with) {
  auto done = co_await async_run(std::move(ctx), std::move(what), std::move(with));
  if (!done) co_return std::move(done).error();
  co_return done->affected();
}

// Transactions.

struct transaction::impl {
  impl(std::shared_ptr<pool_state> of, pool_state::lease on) : state(std::move(of)), used(std::move(on)) {}
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
  ~impl() {
    if (used) state->clean_up(std::move(used));
  }

  [[nodiscard]] sqlite::session& session() noexcept { return **used; }

  static error over() {
    return {std::make_error_code(std::errc::operation_not_permitted), "the transaction is over"};
  }

  result<rows> run(const context& ctx, std::string_view what, const parameters& with) {
    if (!used) return over();
    auto done = session().run(ctx, what, with);
    // Some errors end the whole transaction: nothing may be run behind it.
    if (!session().in_transaction()) pool_state::give_back(std::move(used));
    return done;
  }

  /// Of COMMIT and ROLLBACK.
  result<> end(const context& ctx, const char* how) {
    if (!used) return over();
    auto done = session().run(ctx, how, parameters());
    const bool is_open = session().in_transaction();
    if (!is_open || done) {
      pool_state::give_back(std::move(used));
    } else {
      state->clean_up(std::move(used));
    }
    if (!done) return std::move(done).error();
    return {};
  }

  const std::shared_ptr<pool_state> state;
  pool_state::lease used;  // empty: it is over
};

transaction::transaction(std::unique_ptr<impl> made) noexcept : impl_(std::move(made)) {}
transaction::transaction(transaction&& other) noexcept = default;
transaction& transaction::operator=(transaction&& other) noexcept = default;
transaction::~transaction() = default;

result<transaction> pool::begin(const context& ctx, transaction_options how) {
  auto mine = state_->acquire(ctx, how.read_only(), "begin");
  if (!mine) return std::move(mine).error();
  auto made = std::make_unique<transaction::impl>(state_, *std::move(mine));
  auto begun = made->session().run(ctx, how.read_only() ? "begin" : "begin immediate", parameters());
  if (!begun) return std::move(begun).error();
  return transaction(std::move(made));
}

asio::awaitable<result<transaction>> pool::async_begin(context ctx, transaction_options how) {
  const auto state = state_;
  auto mine = co_await state->async_acquire(ctx, how.read_only(), "begin");
  if (!mine) co_return std::move(mine).error();
  auto made = std::make_unique<transaction::impl>(state, *std::move(mine));
  auto& session = made->session();
  const char* text = how.read_only() ? "begin" : "begin immediate";
  const auto work = [&session, text](const context& c) { return session.run(c, text, parameters()); };
  auto begun = co_await async_offload(state->threads, ctx, work);
  if (!begun) co_return begun.error();
  if (!*begun) co_return begun->error();
  co_return transaction(std::move(made));
}

result<rows> transaction::run(const context& ctx, std::string_view what, const parameters& with) {
  return impl_->run(ctx, what, with);
}

asio::awaitable<result<rows>> transaction::async_run(context ctx, std::string what, parameters with) {
  const auto work = [this, &what, &with](const context& c) { return impl_->run(c, what, with); };
  auto done = co_await async_offload(impl_->state->threads, std::move(ctx), work);
  if (!done) co_return done.error();
  co_return *std::move(done);
}

asio::awaitable<result<std::uint64_t>> transaction::async_change(context ctx, std::string what,
                                                                 parameters with) {
  auto done = co_await async_run(std::move(ctx), std::move(what), std::move(with));
  if (!done) co_return std::move(done).error();
  co_return done->affected();
}

result<> transaction::commit(const context& ctx) { return impl_->end(ctx, "commit"); }
result<> transaction::rollback(const context& ctx) { return impl_->end(ctx, "rollback"); }

asio::awaitable<result<>> transaction::async_commit(context ctx) {
  const auto work = [this](const context& c) { return impl_->end(c, "commit"); };
  auto done = co_await async_offload(impl_->state->threads, std::move(ctx), work);
  if (!done) co_return done.error();
  co_return *std::move(done);
}

asio::awaitable<result<>> transaction::async_rollback(context ctx) {
  const auto work = [this](const context& c) { return impl_->end(c, "rollback"); };
  auto done = co_await async_offload(impl_->state->threads, std::move(ctx), work);
  if (!done) co_return done.error();
  co_return *std::move(done);
}

}  // namespace curfew::sql
