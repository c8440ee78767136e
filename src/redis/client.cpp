#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <curfew/redis/client.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "redis/client_state.hpp"

namespace curfew::redis {

namespace asio = boost::asio;

namespace {

settings settings_of(std::string_view url, const client_options& options) {
  auto to = parse_url(url);
  if (!to) throw std::system_error(to.error().code(), to.error().message());
  return {std::move(*to), options};
}

/// What is sent for several commands.
struct joined {
  std::string bytes;
  std::size_t count = 0;
};

result<joined> join(const detail::requests& all, detail::together how) {
  joined made;
  if (how == detail::together::yes)
    made = {detail::request(std::vector<std::string_view>{"MULTI"}).bytes(), 1};
  for (const auto* each : all) {
    if (each->blocks()) {
      return error(make_error_code(std::errc::operation_not_supported), each->shown(),
                   "a command that waits in the server goes alone");
    }
    made.bytes +=
        how == detail::together::yes && each->has_script() ? each->with_text().bytes() : each->bytes();
    ++made.count;
  }
  if (how == detail::together::yes) {
    made.bytes += detail::request(std::vector<std::string_view>{"EXEC"}).bytes();
    ++made.count;
  }
  return made;
}

/// What the commands of a transaction have answered: that is in the last reply.
answers unwrap(answers got, const detail::requests& all) {
  if (!got) return got;
  const std::string doing = all.front()->shown();
  if (const reply& begun = got->front(); begun.is_error()) {
    // What came behind MULTI was carried out, each for itself, unless that was refused, too.
    auto why = detail::server_error(begun, doing);
    if (std::ranges::all_of(*got, &reply::is_error)) return why;
    return error(why.code(), doing, why.text(), outcome::unknown);
  }
  reply& last = got->back();
  if (last.is_error()) {
    const auto refused = std::ranges::find_if(*got, &reply::is_error);  // the last one, where none was
    if (&*refused != &last) return error(errc::aborted, doing, refused->text());
    return detail::server_error(last, doing);
  }
  if (last.is_nil()) return error(errc::aborted, doing);
  if (last.kind() != reply::kind::array || last.items().size() != all.size())
    return error(errc::protocol, doing, "a transaction has other answers than commands", outcome::unknown);
  return std::move(last.items());
}

bool is_unknown_script(const reply& said, const detail::request& of) {
  return of.has_script() && said.is_error() && said.text().starts_with("NOSCRIPT");
}

asio::awaitable<answers> send_script(std::shared_ptr<client_state> by, asio::any_io_executor here,
                                     context ctx, const detail::request* what) {
  auto got = co_await by->async_exchange(here, ctx, what->bytes(), 1);
  if (!got || !is_unknown_script(got->front(), *what)) co_return got;
  std::string text = what->with_text().bytes();
  co_return co_await by->async_exchange(here, std::move(ctx), std::move(text), 1);
}

}  // namespace

client::client(std::string_view url, const client_options& options)
    : state_(std::make_shared<client_state>(settings_of(url, options))) {}

client::~client() { state_->close(); }

result<reply> client::send(const context& ctx, const detail::request& what) {
  const auto state = state_;
  auto got = what.blocks() ? state->wait(ctx, what.bytes()) : state->exchange(ctx, what.bytes(), 1);
  if (got && is_unknown_script(got->front(), what)) got = state->exchange(ctx, what.with_text().bytes(), 1);
  if (!got) return std::move(got).error();
  return std::move(got->front());
}

// No coroutine for what is sent most: each costs a frame.
asio::awaitable<result<std::vector<reply>>> client::async_send(const asio::any_io_executor& here, context ctx,
                                                               const detail::request& what) {
  if (what.blocks()) return state_->async_wait(std::move(ctx), what.bytes());
  if (what.has_script()) return send_script(state_, here, std::move(ctx), &what);
  return state_->async_exchange(here, std::move(ctx), what.bytes(), 1);
}

result<std::vector<reply>> client::send_all(const context& ctx, const detail::requests& all, together how) {
  if (all.empty()) return std::vector<reply>();
  auto sent = join(all, how);
  if (!sent) return std::move(sent).error();
  const auto state = state_;
  auto got = state->exchange(ctx, std::move(sent->bytes), sent->count);
  if (how == together::yes) return unwrap(std::move(got), all);
  if (!got) return got;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!is_unknown_script((*got)[i], *all[i])) continue;
    auto again = state->exchange(ctx, all[i]->with_text().bytes(), 1);
    if (!again) return again;
    (*got)[i] = std::move(again->front());
  }
  return got;
}

asio::awaitable<result<std::vector<reply>>> client::async_send_all(context ctx, detail::requests all,
                                                                   together how) {
  if (all.empty()) co_return std::vector<reply>();
  auto sent = join(all, how);
  if (!sent) co_return std::move(sent).error();
  const auto state = state_;
  const asio::any_io_executor here = co_await asio::this_coro::executor;
  auto got = co_await state->async_exchange(here, ctx, std::move(sent->bytes), sent->count);
  if (how == together::yes) co_return unwrap(std::move(got), all);
  if (!got) co_return got;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!is_unknown_script((*got)[i], *all[i])) continue;
    std::string text = all[i]->with_text().bytes();
    auto again = co_await state->async_exchange(here, ctx, std::move(text), 1);
    if (!again) co_return again;
    (*got)[i] = std::move(again->front());
  }
  co_return got;
}

}  // namespace curfew::redis
