#include "sql/postgres/drive.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/io/offload.hpp>
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

}  // namespace

bool drive(connection& on, const context& ctx) {
  return wait_while([](wants what) { return what != wants::nothing; }, on, ctx);
}

asio::awaitable<bool> async_send(connection& on, context ctx, std::uint64_t task) {
  if (on.step(false) != wants::write) co_return true;
  const auto is_unsent = [](wants what) { return what == wants::write; };
  const auto work = [&on, is_unsent](const context& c) { return wait_while(is_unsent, on, c); };
  curfew::detail::about_to_wait("query", task);
  const auto is_sent = co_await async_offload(std::move(ctx), work);
  co_return is_sent && *is_sent;
}

asio::awaitable<bool> async_drive(connection& on, context ctx, std::uint64_t task) {
  using wait = asio::posix::stream_descriptor::wait_type;
  wants what = on.step(false);
  if (what == wants::nothing) co_return true;
  const asio::any_io_executor loop = co_await asio::this_coro::executor;
  while (what != wants::nothing) {
    if (ctx.err()) co_return false;
    auto& socket = on.watched_by(loop);
    curfew::detail::about_to_wait("query", task);
    const wait for_what = what == wants::write ? wait::wait_write : wait::wait_read;
    auto ready = co_await socket.async_wait(for_what, with(ctx));
    if (!ready) co_return false;
    what = on.step(true);
  }
  co_return true;
}

}  // namespace curfew::sql::postgres
