#include <curfew/sql/pool.hpp>

#include <boost/asio/awaitable.hpp>
#include <system_error>
#include <utility>

#include "sql/database.hpp"
#include "sql/postgres/pool.hpp"
#include "sql/shortened.hpp"
#include "sql/sqlite/pool.hpp"

namespace curfew::sql {

namespace asio = boost::asio;

namespace {

std::shared_ptr<pool_state> state_for(std::string_view url, const pool_options& how) {
  if (const auto path = sqlite::path_of(url); !path.empty())
    return std::make_shared<sqlite::pool>(std::string(path), how);
  if (postgres::is_url(url)) return std::make_shared<postgres::pool>(std::string(url), how);
  // Without the rest, which may hold a password.
  throw std::system_error(
      errc::bad_url, "sqlite:<path> or postgresql://…, not " + std::string(url.substr(0, url.find(':'))));
}

/// The pool may go while a call blocks.
std::shared_ptr<pool_state> keep(const std::shared_ptr<pool_state>& state) noexcept { return state; }

}  // namespace

asio::awaitable<result<std::uint64_t>> count_changes(asio::awaitable<result<rows>> running) {
  auto done = co_await std::move(running);
  if (!done) co_return std::move(done).error();
  co_return done->affected();
}

error no_connection(const curfew::error& why, const std::optional<error>& refused, std::string_view text,
                    std::string_view database) {
  if (refused) {
    return {refused->code(), shortened(text) + " : connecting to " + std::string(database),
            refused->details(), refused->cause()};
  }
  return {why.code(), shortened(text) + " : waiting for a connection", {}, why.cause()};
}

pool::pool(std::string_view url, const pool_options& options) : state_(state_for(url, options)) {}

pool::~pool() { state_->close(); }

pool_stats pool::stats() const { return state_->stats(); }

result<rows> pool::run(const context& ctx, std::string_view what, const parameters& with,
                       detail::purpose why) {
  return keep(state_)->run(ctx, what, with, why);
}

asio::awaitable<result<rows>> pool::async_run(context ctx, std::string what, parameters with,
                                              detail::purpose why) {
  return state_->async_run(std::move(ctx), std::move(what), std::move(with), why);
}

asio::awaitable<result<std::uint64_t>> pool::async_change(context ctx, std::string what, parameters with) {
  return count_changes(async_run(std::move(ctx), std::move(what), std::move(with), detail::purpose::effect));
}

result<std::vector<rows>> pool::run_batch(const context& ctx, const batch& all) {
  return keep(state_)->run_batch(ctx, all);
}

asio::awaitable<result<std::vector<rows>>> pool::async_run_batch(context ctx, batch all) {
  return state_->async_run_batch(std::move(ctx), std::move(all));
}

result<> pool::warm_up(const context& ctx, std::size_t count) { return keep(state_)->warm_up(ctx, count); }
asio::awaitable<result<>> pool::async_warm_up(context ctx, std::size_t count) {
  return state_->async_warm_up(std::move(ctx), count);
}

result<row_stream> pool::begin_stream(const context& ctx, std::string what, parameters with) {
  return keep(state_)->stream(ctx, std::move(what), std::move(with));
}

asio::awaitable<result<row_stream>> pool::async_begin_stream(context ctx, std::string what, parameters with) {
  return state_->async_stream(std::move(ctx), std::move(what), std::move(with));
}

result<transaction> pool::begin(const context& ctx, transaction_options how) {
  return keep(state_)->begin(ctx, how);
}

asio::awaitable<result<transaction>> pool::async_begin(context ctx, transaction_options how) {
  return state_->async_begin(std::move(ctx), how);
}

// Listeners.

result<listener> pool_state::listen(const context& /*ctx*/, const std::string& channel) {
  return error(std::make_error_code(std::errc::operation_not_supported), "listening to " + channel);
}
asio::awaitable<result<listener>> pool_state::async_listen(context ctx, std::string channel) {
  co_return listen(ctx, channel);
}

result<listener> pool::listen(const context& ctx, std::string_view channel) {
  return keep(state_)->listen(ctx, std::string(channel));
}
asio::awaitable<result<listener>> pool::async_listen(context ctx, std::string channel) {
  return state_->async_listen(std::move(ctx), std::move(channel));
}

listener::listener(std::unique_ptr<impl> made) noexcept : impl_(std::move(made)) {}
listener::listener(listener&& other) noexcept = default;
listener& listener::operator=(listener&& other) noexcept = default;
listener::~listener() = default;

result<notification> listener::next(const context& ctx) { return impl_->next(ctx); }
asio::awaitable<result<notification>> listener::async_next(context ctx) {
  return impl_->async_next(std::move(ctx));
}

// COPY.

namespace {

error no_copy(const std::string& what) {
  return {std::make_error_code(std::errc::operation_not_supported), shortened(what)};
}

}  // namespace

result<copy_writer> copying::copy_in(const context& /*ctx*/, std::string what) { return no_copy(what); }
asio::awaitable<result<copy_writer>> copying::async_copy_in(context /*ctx*/, std::string what) {
  co_return no_copy(what);
}
result<copy_reader> copying::copy_out(const context& /*ctx*/, std::string what) { return no_copy(what); }
asio::awaitable<result<copy_reader>> copying::async_copy_out(context /*ctx*/, std::string what) {
  co_return no_copy(what);
}

result<copy_writer> pool::copy_in(const context& ctx, text what) {
  return keep(state_)->copy_in(ctx, std::string(what.view()));
}
asio::awaitable<result<copy_writer>> pool::async_copy_in(context ctx, text what) {
  return state_->async_copy_in(std::move(ctx), std::string(what.view()));
}
result<copy_reader> pool::copy_out(const context& ctx, text what) {
  return keep(state_)->copy_out(ctx, std::string(what.view()));
}
asio::awaitable<result<copy_reader>> pool::async_copy_out(context ctx, text what) {
  return state_->async_copy_out(std::move(ctx), std::string(what.view()));
}

copy_writer::copy_writer(std::unique_ptr<impl> made) noexcept : impl_(std::move(made)) {}
copy_writer::copy_writer(copy_writer&& other) noexcept = default;
copy_writer& copy_writer::operator=(copy_writer&& other) noexcept = default;
copy_writer::~copy_writer() = default;

result<> copy_writer::write(const context& ctx, std::string_view some) { return impl_->write(ctx, some); }
asio::awaitable<result<>> copy_writer::async_write(context ctx, std::string some) {
  return impl_->async_write(std::move(ctx), std::move(some));
}
result<std::uint64_t> copy_writer::finish(const context& ctx) { return impl_->finish(ctx); }
asio::awaitable<result<std::uint64_t>> copy_writer::async_finish(context ctx) {
  return impl_->async_finish(std::move(ctx));
}

copy_reader::copy_reader(std::unique_ptr<impl> made) noexcept : impl_(std::move(made)) {}
copy_reader::copy_reader(copy_reader&& other) noexcept = default;
copy_reader& copy_reader::operator=(copy_reader&& other) noexcept = default;
copy_reader::~copy_reader() = default;

result<std::string> copy_reader::next(const context& ctx) { return impl_->next(ctx); }
asio::awaitable<result<std::string>> copy_reader::async_next(context ctx) {
  return impl_->async_next(std::move(ctx));
}

// Streams.

row_stream::row_stream(std::unique_ptr<impl> made) noexcept : impl_(std::move(made)) {}
row_stream::row_stream(row_stream&& other) noexcept = default;
row_stream& row_stream::operator=(row_stream&& other) noexcept = default;
row_stream::~row_stream() = default;

result<rows> row_stream::next(const context& ctx) { return impl_->next(ctx); }
asio::awaitable<result<rows>> row_stream::async_next(context ctx) {
  return impl_->async_next(std::move(ctx));
}

}  // namespace curfew::sql
