#include "sql/postgres/drive.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/io/race.hpp>
#include <curfew/io/with.hpp>
#include <utility>

#include "sql/postgres/wait.hpp"

namespace curfew::sql::postgres {

namespace asio = boost::asio;

error cut_off(const context& ctx, std::string doing) {
  if (ctx.err()) return curfew::error::ended(ctx, std::move(doing));
  return {make_error_code(curfew::errc::canceled), std::move(doing)};
}

namespace {

/// Waits in this thread while `goes_on(what it waits for)`.
template <class Condition>
bool wait_while(Condition goes_on, connection& on, const context& ctx) {
  on.unwatch();
  wants what = on.step(false);
  if (!goes_on(what)) return true;
  const on_done<wake_up> ending(ctx, wake_up{&on.waker()});
  const curfew::detail::waiting_for shown("database", static_cast<std::uint64_t>(on.process()));
  while (goes_on(what)) {
    if (ctx.err()) return false;
    what = on.step(wait_for(on.socket(), what, on.waker()) == readiness::readable);
  }
  return true;
}

/// Waits until the socket can be written, or read: a server that is stuck with what it sends does not read.
asio::awaitable<bool> async_either(asio::posix::stream_descriptor& socket, context ctx) {
  using wait = asio::posix::stream_descriptor::wait_type;
  const auto writable = [&socket](context c) {
    return socket.async_wait(wait::wait_write, with(std::move(c)));
  };
  const auto readable = [&socket](context c) {
    return socket.async_wait(wait::wait_read, with(std::move(c)));
  };
  auto first = async_race(std::move(ctx), writable, readable);
  const auto ready = co_await std::move(first);
  co_return ready.has_value();
}

/// The same in a coroutine.
template <class Condition>
asio::awaitable<bool> async_wait_while(Condition goes_on, connection& on, context ctx, std::uint64_t task) {
  wants what = on.step(false);
  if (!goes_on(what)) co_return true;
  const asio::any_io_executor loop = co_await asio::this_coro::executor;
  while (goes_on(what)) {
    if (ctx.err()) co_return false;
    auto& socket = on.watched_by(loop);
    curfew::detail::about_to_wait("query", task);
    if (what == wants::write) {
      const bool is_ready = co_await async_either(socket, ctx);
      if (!is_ready) co_return false;
    } else {
      auto ready = co_await socket.async_wait(asio::posix::stream_descriptor::wait_read, with(ctx));
      if (!ready) co_return false;
    }
    what = on.step(true);
  }
  co_return true;
}

}  // namespace

bool drive(connection& on, const context& ctx) {
  return wait_while([](wants what) { return what != wants::nothing; }, on, ctx);
}

asio::awaitable<bool> async_send(connection& on, context ctx, std::uint64_t task) {
  const auto is_unsent = [](wants what) { return what == wants::write; };
  return async_wait_while(is_unsent, on, std::move(ctx), task);
}

asio::awaitable<bool> async_drive(connection& on, context ctx, std::uint64_t task) {
  const auto is_busy = [](wants what) { return what != wants::nothing; };
  return async_wait_while(is_busy, on, std::move(ctx), task);
}

}  // namespace curfew::sql::postgres
