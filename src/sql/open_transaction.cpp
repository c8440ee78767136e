#include "sql/open_transaction.hpp"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <system_error>
#include <tuple>
#include <utility>

namespace curfew::sql {

namespace asio = boost::asio;

namespace {

const parameters nothing;

std::string savepoint_command(const char* what, std::size_t at) {
  return what + std::string(" curfew_") + std::to_string(at + 1);
}

error savepoint_is_over() {
  return {std::make_error_code(std::errc::operation_not_permitted), "the savepoint is over"};
}

error stream_is_over() {
  return {std::make_error_code(std::errc::operation_not_permitted),
          "the stream was rolled back, or its transaction is over"};
}

/// Rows that come through the transaction.
class stream_within final : public row_stream::impl {
 public:
  stream_within(std::shared_ptr<open_transaction> of, std::uint64_t number) noexcept
      : of_(std::move(of)),
        number_(number) {}
  ~stream_within() override { of_->close(number_); }

  result<rows> next(const context& ctx) override {
    if (is_over_) return rows();
    auto some = of_->fetch(ctx, number_);
    look_at(some);
    return some;
  }
  asio::awaitable<result<rows>> async_next(context ctx) override {
    if (is_over_) co_return rows();
    auto some = co_await of_->async_fetch(std::move(ctx), number_);
    look_at(some);
    co_return some;
  }

 private:
  void look_at(const result<rows>& some) {
    is_over_ = !some || some->size() < rows_at_a_time;
    if (is_over_) of_->close(number_);
  }

  const std::shared_ptr<open_transaction> of_;
  const std::uint64_t number_;
  bool is_over_ = false;
};

}  // namespace

// What is owed.

result<> open_transaction::settle(const context& ctx) {
  if (!on_) return transaction::impl::over();
  if (!owed_) return {};
  const std::size_t at = *owed_;
  if (auto done = command(ctx, "rollback to savepoint", at); !done) return done;
  if (auto done = command(ctx, "release savepoint", at); !done) return done;
  gone_back_to(at);
  return {};
}

asio::awaitable<result<>> open_transaction::async_settle(context ctx) {
  if (!on_) co_return transaction::impl::over();
  if (!owed_) co_return result<>();
  const std::size_t at = *owed_;
  auto back = co_await async_command(ctx, "rollback to savepoint", at);
  if (!back) co_return back;
  auto released = co_await async_command(std::move(ctx), "release savepoint", at);
  if (!released) co_return released;
  gone_back_to(at);
  co_return result<>();
}

result<> open_transaction::command(const context& ctx, const char* what, std::size_t at) {
  auto done = on_->run(ctx, savepoint_command(what, at), nothing);
  if (!done) return std::move(done).error();
  return {};
}

asio::awaitable<result<>> open_transaction::async_command(context ctx, const char* what, std::size_t at) {
  auto done = co_await on_->async_run(std::move(ctx), savepoint_command(what, at), nothing);
  if (!done) co_return std::move(done).error();
  co_return result<>();
}

std::optional<std::size_t> open_transaction::place_of(std::uint64_t savepoint) const noexcept {
  const auto found = std::ranges::find(saved_, savepoint);
  if (found == saved_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - saved_.begin());
}

void open_transaction::owe(std::size_t at) noexcept { owed_ = std::min(at, owed_.value_or(at)); }

void open_transaction::gone_back_to(std::size_t at) noexcept {
  const std::uint64_t number = saved_[at];
  saved_.resize(at);
  owed_.reset();
  while (!streams_.empty() && *streams_.rbegin() > number) close(*streams_.rbegin());
}

// Statements.

result<rows> open_transaction::run(const context& ctx, std::string_view what, const parameters& with) {
  if (auto settled = settle(ctx); !settled) return std::move(settled).error();
  return on_->run(ctx, what, with);
}

asio::awaitable<result<rows>> open_transaction::async_run(context ctx, std::string what, parameters with) {
  auto settled = co_await async_settle(ctx);
  if (!settled) co_return std::move(settled).error();
  co_return co_await on_->async_run(std::move(ctx), std::move(what), std::move(with));
}

result<std::vector<rows>> open_transaction::run_batch(const context& ctx, const batch& all) {
  if (auto settled = settle(ctx); !settled) return std::move(settled).error();
  return on_->run_batch(ctx, all);
}

asio::awaitable<result<std::vector<rows>>> open_transaction::async_run_batch(context ctx, batch all) {
  auto settled = co_await async_settle(ctx);
  if (!settled) co_return std::move(settled).error();
  co_return co_await on_->async_run_batch(std::move(ctx), std::move(all));
}

// A transaction is over after it, whatever comes of it.

result<> open_transaction::end(const context& ctx, ending how) {
  if (!on_) return transaction::impl::over();
  if (how == ending::commit && !saved_.empty()) {
    owe(0);
    if (auto settled = settle(ctx); !settled) {
      leave();
      return settled;
    }
  }
  return on_->end(ctx, how);
}

asio::awaitable<result<>> open_transaction::async_end(context ctx, ending how) {
  if (!on_) co_return transaction::impl::over();
  if (how == ending::commit && !saved_.empty()) {
    owe(0);
    auto settled = co_await async_settle(ctx);
    if (!settled) {
      leave();
      co_return settled;
    }
  }
  co_return co_await on_->async_end(std::move(ctx), how);
}

// Streams.

result<row_stream> open_transaction::stream(const context& ctx, std::string what, parameters with) {
  if (auto settled = settle(ctx); !settled) return std::move(settled).error();
  const std::uint64_t number = ++last_;
  if (auto begun = on_->open(ctx, number, std::move(what), std::move(with)); !begun)
    return std::move(begun).error();
  streams_.insert(number);
  return row_stream(std::make_unique<stream_within>(shared_from_this(), number));
}

asio::awaitable<result<row_stream>> open_transaction::async_stream(context ctx, std::string what,
                                                                   parameters with) {
  auto settled = co_await async_settle(ctx);
  if (!settled) co_return std::move(settled).error();
  const std::uint64_t number = ++last_;
  auto begun = co_await on_->async_open(std::move(ctx), number, std::move(what), std::move(with));
  if (!begun) co_return std::move(begun).error();
  streams_.insert(number);
  co_return row_stream(std::make_unique<stream_within>(shared_from_this(), number));
}

result<rows> open_transaction::fetch(const context& ctx, std::uint64_t stream) {
  if (auto settled = settle(ctx); !settled) return std::move(settled).error();
  if (!streams_.contains(stream)) return stream_is_over();
  return on_->fetch(ctx, stream);
}

asio::awaitable<result<rows>> open_transaction::async_fetch(context ctx, std::uint64_t stream) {
  auto settled = co_await async_settle(ctx);
  if (!settled) co_return std::move(settled).error();
  if (!streams_.contains(stream)) co_return stream_is_over();
  co_return co_await on_->async_fetch(std::move(ctx), stream);
}

void open_transaction::close(std::uint64_t stream) noexcept {
  if (streams_.erase(stream) != 0 && on_) on_->close(stream);
}

// Copies.

result<copy_writer> open_transaction::copy_in(const context& ctx, std::string what) {
  if (auto paid = settle(ctx); !paid) return std::move(paid).error();
  return on_->copy_in(ctx, std::move(what));
}

asio::awaitable<result<copy_writer>> open_transaction::async_copy_in(context ctx, std::string what) {
  auto paid = co_await async_settle(ctx);
  if (!paid) co_return std::move(paid).error();
  co_return co_await on_->async_copy_in(std::move(ctx), std::move(what));
}

result<copy_reader> open_transaction::copy_out(const context& ctx, std::string what) {
  if (auto paid = settle(ctx); !paid) return std::move(paid).error();
  return on_->copy_out(ctx, std::move(what));
}

asio::awaitable<result<copy_reader>> open_transaction::async_copy_out(context ctx, std::string what) {
  auto paid = co_await async_settle(ctx);
  if (!paid) co_return std::move(paid).error();
  co_return co_await on_->async_copy_out(std::move(ctx), std::move(what));
}

// Savepoints.

result<savepoint> open_transaction::save(const context& ctx) {
  if (auto settled = settle(ctx); !settled) return std::move(settled).error();
  if (auto done = command(ctx, "savepoint", saved_.size()); !done) return std::move(done).error();
  saved_.push_back(++last_);
  return savepoint(shared_from_this(), last_);
}

asio::awaitable<result<savepoint>> open_transaction::async_save(context ctx) {
  auto settled = co_await async_settle(ctx);
  if (!settled) co_return std::move(settled).error();
  auto done = co_await async_command(std::move(ctx), "savepoint", saved_.size());
  if (!done) co_return std::move(done).error();
  saved_.push_back(++last_);
  co_return savepoint(shared_from_this(), last_);
}

result<> open_transaction::release(const context& ctx, std::uint64_t savepoint) {
  const auto at = place_of(savepoint);
  if (!on_ || !at) return savepoint_is_over();
  if (*at + 1 < saved_.size()) owe(*at + 1);
  if (auto settled = settle(ctx); !settled) return settled;
  if (!place_of(savepoint)) return savepoint_is_over();
  auto done = command(ctx, "release savepoint", *at);
  if (done) saved_.resize(*at);
  return done;
}

asio::awaitable<result<>> open_transaction::async_release(context ctx, std::uint64_t savepoint) {
  const auto at = place_of(savepoint);
  if (!on_ || !at) co_return savepoint_is_over();
  if (*at + 1 < saved_.size()) owe(*at + 1);
  auto settled = co_await async_settle(ctx);
  if (!settled) co_return settled;
  if (!place_of(savepoint)) co_return savepoint_is_over();
  auto done = co_await async_command(std::move(ctx), "release savepoint", *at);
  if (done) saved_.resize(*at);
  co_return done;
}

result<> open_transaction::roll_back(const context& ctx, std::uint64_t savepoint) {
  const auto at = place_of(savepoint);
  if (!on_ || !at) return savepoint_is_over();
  owe(*at);
  return settle(ctx);
}

asio::awaitable<result<>> open_transaction::async_roll_back(context ctx, std::uint64_t savepoint) {
  const auto at = place_of(savepoint);
  if (!on_ || !at) co_return savepoint_is_over();
  owe(*at);
  co_return co_await async_settle(std::move(ctx));
}

void open_transaction::abandon(std::uint64_t savepoint) noexcept {
  if (const auto at = place_of(savepoint)) owe(*at);
}

// Handles.

savepoint::savepoint(std::shared_ptr<open_transaction> of, std::uint64_t number) noexcept
    : of_(std::move(of)),
      number_(number) {}
savepoint::savepoint(savepoint&& other) noexcept = default;
savepoint& savepoint::operator=(savepoint&& other) noexcept {
  if (this == &other) return *this;
  leave();
  of_ = std::move(other.of_);
  number_ = other.number_;
  return *this;
}
savepoint::~savepoint() { leave(); }

void savepoint::leave() noexcept {
  if (of_) of_->abandon(number_);
}

result<> savepoint::release(const context& ctx) { return of_->release(ctx, number_); }
result<> savepoint::rollback(const context& ctx) { return of_->roll_back(ctx, number_); }
asio::awaitable<result<>> savepoint::async_release(context ctx) {
  return of_->async_release(std::move(ctx), number_);
}
asio::awaitable<result<>> savepoint::async_rollback(context ctx) {
  return of_->async_roll_back(std::move(ctx), number_);
}

error transaction::impl::over() {
  return {std::make_error_code(std::errc::operation_not_permitted), "the transaction is over"};
}

transaction::transaction(std::unique_ptr<impl> made)
    : open_(std::make_shared<open_transaction>(std::move(made))) {}
transaction::transaction(transaction&& other) noexcept = default;
transaction& transaction::operator=(transaction&& other) noexcept {
  if (this == &other) return *this;
  if (open_) open_->leave();
  open_ = std::move(other.open_);
  return *this;
}
transaction::~transaction() {
  if (open_) open_->leave();
}

result<rows> transaction::run(const context& ctx, std::string_view what, const parameters& with) {
  return open_->run(ctx, what, with);
}

asio::awaitable<result<rows>> transaction::async_run(context ctx, std::string what, parameters with) {
  return open_->async_run(std::move(ctx), std::move(what), std::move(with));
}

asio::awaitable<result<std::uint64_t>> transaction::async_change(context ctx, std::string what,
                                                                 parameters with) {
  return count_changes(async_run(std::move(ctx), std::move(what), std::move(with)));
}

result<row_stream> transaction::begin_stream(const context& ctx, std::string what, parameters with) {
  return open_->stream(ctx, std::move(what), std::move(with));
}

asio::awaitable<result<row_stream>> transaction::async_begin_stream(context ctx, std::string what,
                                                                    parameters with) {
  return open_->async_stream(std::move(ctx), std::move(what), std::move(with));
}

result<std::vector<rows>> transaction::run_batch(const context& ctx, const batch& all) {
  return open_->run_batch(ctx, all);
}
asio::awaitable<result<std::vector<rows>>> transaction::async_run_batch(context ctx, batch all) {
  return open_->async_run_batch(std::move(ctx), std::move(all));
}

result<copy_writer> transaction::copy_in(const context& ctx, text what) {
  return open_->copy_in(ctx, std::string(what.view()));
}
asio::awaitable<result<copy_writer>> transaction::async_copy_in(context ctx, text what) {
  return open_->async_copy_in(std::move(ctx), std::string(what.view()));
}
result<copy_reader> transaction::copy_out(const context& ctx, text what) {
  return open_->copy_out(ctx, std::string(what.view()));
}
asio::awaitable<result<copy_reader>> transaction::async_copy_out(context ctx, text what) {
  return open_->async_copy_out(std::move(ctx), std::string(what.view()));
}

result<savepoint> transaction::savepoint(const context& ctx) { return open_->save(ctx); }
asio::awaitable<result<sql::savepoint>> transaction::async_savepoint(context ctx) {
  return open_->async_save(std::move(ctx));
}

result<> transaction::commit(const context& ctx) { return open_->end(ctx, ending::commit); }
result<> transaction::rollback(const context& ctx) { return open_->end(ctx, ending::rollback); }

asio::awaitable<result<>> transaction::async_commit(context ctx) {
  return open_->async_end(std::move(ctx), ending::commit);
}
asio::awaitable<result<>> transaction::async_rollback(context ctx) {
  return open_->async_end(std::move(ctx), ending::rollback);
}

}  // namespace curfew::sql
