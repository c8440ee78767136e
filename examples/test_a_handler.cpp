// A test of a handler: a real server on a free port, a real client, and a clock that the test moves, so that a time
// limit of five seconds takes none. It needs no test framework; with one, check() is EXPECT_TRUE.

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <curfew/http.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io.hpp>
#include <curfew/testing.hpp>
#include <future>
#include <iostream>
#include <string>

namespace asio = boost::asio;
namespace http = curfew::http;
using namespace std::chrono_literals;

namespace {

asio::awaitable<http::response> hello(curfew::context, const http::request& request) {
  co_return http::text(http::status::ok, "Hello, " + std::string(request.param("name")) + "!");
}

asio::awaitable<http::response> slow(curfew::context ctx, const http::request&) {
  auto slept = co_await curfew::async_sleep_for(ctx, 1min);
  if (!slept) co_return http::text(http::status::service_unavailable, slept.error().code().message());
  co_return http::text(http::status::ok, "at last");
}

int failures = 0;

void check(const char* what, bool holds) {
  std::cout << what << ": " << (holds ? "yes" : "NO") << '\n';
  if (!holds) ++failures;
}

}  // namespace

int main() {
  curfew::testing::manual_clock clock;
  http::router routes;
  routes.get("/hello/{name}", hello).get("/slow", slow);
  curfew::testing::http_server server(routes, http::server_options().max_request_time(5s),
                                      clock.background());

  auto greeting = http::get(curfew::background(), server.url("/hello/you"));
  check("it greets", greeting && greeting->body() == "Hello, you!");

  auto slow_answer =
      std::async(std::launch::async, [&] { return http::get(curfew::background(), server.url("/slow")); });
  while (slow_answer.wait_for(1ms) != std::future_status::ready) clock.advance_to_next();
  const auto late = slow_answer.get();
  check("it stops at the limit", late && late->body() == "deadline exceeded");

  check("every request came home", server.stop().stuck.empty());
  return failures;
}
