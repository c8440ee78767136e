// A server that asks another one, for at most three seconds, and only as long as somebody waits for the
// answer: the context that its handler gets ends when the client goes away, and with it the request to the
// other server.
//
//     fetch_with_control http://127.0.0.1:8080/hello/you [address]      prints its URL; then GET /fetch there

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

std::string upstream_url;

asio::awaitable<http::response> fetch_with_control(curfew::context ctx, const http::request& /*request*/) {
  auto scope = curfew::with_timeout(ctx, 3s);
  auto upstream = co_await http::async_get(scope, upstream_url);
  if (!upstream && scope.err()) {  // ours or the client's end: not the upstream's fault
    co_return http::text(http::status::gateway_timeout,
                         "request canceled or timed out: " + scope.err().message());
  }
  if (!upstream) co_return http::text(http::status::bad_gateway, "request error");
  co_return http::text(http::status::ok, "Success: " + upstream->status_line());
}

asio::awaitable<int> serve(curfew::context ctx, std::string address) {
  http::router routes;
  routes.get("/fetch", fetch_with_control);
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
  if (argc < 2) {
    std::cerr << "usage: fetch_with_control <upstream url> [address]\n";
    return 2;
  }
  upstream_url = argv[1];
  const std::string address = argc > 2 ? argv[2] : "127.0.0.1:8081";
  return curfew::run([&](curfew::context ctx) { return serve(ctx, address); });
}
