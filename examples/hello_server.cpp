// A server: /hello/{name} answers at once, /slow only after a minute, unless the client goes away before.
//
//     hello_server [address]      prints its URL; Ctrl-C ends it

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/io.hpp>
#include <iostream>
#include <string>

namespace asio = boost::asio;
namespace http = curfew::http;
using namespace std::chrono_literals;

namespace {

asio::awaitable<http::response> hello(curfew::context, const http::request& request) {
  co_return http::text(http::status::ok, "Hello, " + std::string(request.param("name")) + "!\n");
}

asio::awaitable<http::response> slow(curfew::context ctx, const http::request&) {
  auto slept = co_await curfew::async_sleep_for(ctx, 1min);
  if (!slept) {
    std::cout << "slow: stopped, " << ctx.cause() << std::endl;
    co_return http::text(http::status::service_unavailable, "stopped\n");
  }
  co_return http::text(http::status::ok, "at last\n");
}

asio::awaitable<int> serve(curfew::context ctx, std::string address) {
  http::router routes;
  routes.get("/hello/{name}", hello).get("/slow", slow);
  http::server server(routes, http::server_options().listen(address));
  if (auto up = server.listen(); !up) {
    std::cerr << up.error() << '\n';
    co_return 1;
  }
  std::cout << server.url() << std::endl;
  auto report = co_await server.async_serve(ctx);
  co_return report ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string address = argc > 1 ? argv[1] : "127.0.0.1:8080";
  return curfew::run([&](curfew::context ctx) { return serve(ctx, address); });
}
