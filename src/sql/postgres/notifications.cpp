#include "sql/postgres/notifications.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/io/with.hpp>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "sql/postgres/drive.hpp"
#include "sql/postgres/wait.hpp"

namespace curfew::sql::postgres {

namespace asio = boost::asio;

std::optional<notification> connection::take_notification() {
  std::ignore = ::PQconsumeInput(server_.get());
  const std::unique_ptr<PGnotify, void (*)(void*)> one(::PQnotifies(server_.get()), &::PQfreemem);
  if (!one) return std::nullopt;
  return notification{one->relname, one->extra, one->be_pid};
}

namespace {

constexpr const char* waiting_for_news = "waiting for a notification";

error lost_while_listening() { return {errc::connection_lost, waiting_for_news}; }

}  // namespace

result<notification> next_notification(connection& on, const context& ctx) {
  const on_done<wake_up> ending(ctx, wake_up{&on.waker()});
  const curfew::detail::waiting_for shown("notification", static_cast<std::uint64_t>(on.process()));
  for (;;) {
    if (auto one = on.take_notification()) return *std::move(one);
    if (on.is_broken()) return lost_while_listening();
    if (ctx.err()) return cut_off(ctx, waiting_for_news);
    std::ignore = wait_for(on.socket(), wants::read, on.waker());
  }
}

asio::awaitable<result<notification>> async_next_notification(connection& on, context ctx) {
  const asio::any_io_executor loop = co_await asio::this_coro::executor;
  for (;;) {
    if (auto one = on.take_notification()) co_return *std::move(one);
    if (on.is_broken()) co_return lost_while_listening();
    auto& socket = on.watched_by(loop);
    curfew::detail::about_to_wait("notification", static_cast<std::uint64_t>(on.process()));
    auto ready = co_await socket.async_wait(asio::posix::stream_descriptor::wait_read, with(ctx));
    if (!ready) co_return cut_off(ctx, waiting_for_news);
  }
}

}  // namespace curfew::sql::postgres
