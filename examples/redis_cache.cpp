// A cache before slow work: what one request has made, the next ones get from Redis. A cache that does not answer in time is
// gone around, and one that is away costs no request its answer.
//
//     redis_cache <redis> [address]      prints its URL; /report?of=sales makes a report, at most once a minute
//
// <redis>: redis://127.0.0.1 or unix:///run/redis/redis.sock

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/io.hpp>
#include <curfew/redis.hpp>
#include <iostream>
#include <string>
#include <tuple>
#include <utility>

namespace asio = boost::asio;
namespace http = curfew::http;
namespace redis = curfew::redis;
using namespace std::chrono_literals;

namespace {

asio::awaitable<http::response> report(curfew::context ctx, const http::request& request,
                                       redis::client& cache) {
  const std::string of = request.query("of").value_or("sales");
  const std::string key = "report:" + of;

  const auto soon = curfew::with_timeout(ctx, 50ms);  // of the request's time, the cache gets so much
  auto kept = co_await cache.async_run(soon.ctx(), redis::get(key));
  if (kept && *kept) co_return http::text(http::status::ok, **kept + " (kept)\n");
  if (!kept) std::cerr << kept.error() << std::endl;
  if (ctx.err()) co_return http::text(http::status::service_unavailable, "too late\n");

  auto worked = co_await curfew::async_sleep_for(ctx, 20ms);  // the work, which ends when the client goes
  if (!worked) co_return http::text(http::status::service_unavailable, "too late\n");
  const std::string made = "the report on " + of;

  const auto kept_for = redis::set_options().expire(1min);
  const auto short_time = curfew::with_timeout(ctx, 50ms);
  std::ignore = co_await cache.async_run(short_time.ctx(), redis::set(key, made, kept_for));
  co_return http::text(http::status::ok, made + '\n');
}

asio::awaitable<int> serve(curfew::context ctx, std::string url, std::string address) {
  redis::client cache(url);
  http::router routes;
  routes.get("/report",
             [&cache](curfew::context c, const http::request& r) { return report(std::move(c), r, cache); });
  http::server server(routes, http::server_options().listen(address));
  if (auto up = server.listen(); !up) {
    std::cerr << up.error() << '\n';
    co_return 1;
  }
  std::cout << server.url() << std::endl;
  auto ended = co_await server.async_serve(ctx);
  co_return ended ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: redis_cache <redis> [address]\n";
    return 2;
  }
  const std::string address = argc > 2 ? argv[2] : "127.0.0.1:8080";
  return curfew::run([&](curfew::context ctx) { return serve(std::move(ctx), argv[1], address); });
}
