#include <boost/asio/awaitable.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/http/blocking.hpp>
#include <curfew/io/offload.hpp>
#include <memory>
#include <utility>

namespace curfew::http {

namespace asio = boost::asio;

namespace {

asio::awaitable<response> run(thread_pool& pool, std::shared_ptr<const blocking_handler> f, context ctx,
                              const request& what) {
  auto work = [f, &what](const context& c) { return (*f)(c, what); };
  auto made = co_await async_offload(pool, ctx, std::move(work));
  if (made) co_return *std::move(made);
  co_return text(
      made.error() == curfew::errc::deadline_exceeded ? status::gateway_timeout : status::service_unavailable,
      "no thread became free in time\n");
}

}  // namespace

handler blocking(thread_pool& pool, blocking_handler f) {
  if (!f) return {};  // the router says what is missing
  return [to = &pool, shared = std::make_shared<const blocking_handler>(std::move(f))](
             context ctx, const request& what) { return run(*to, shared, std::move(ctx), what); };
}

handler blocking(blocking_handler f) { return blocking(thread_pool::shared(), std::move(f)); }

}  // namespace curfew::http
