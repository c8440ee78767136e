// A program to be inspected: a server of which GET /work does not come back before it is told to, and a caller of one.
//
//     inspected CONSOLE                prints the URL of its server
//     inspected CONSOLE URL            has URL/work done by another one

#include <boost/asio/awaitable.hpp>
#include <curfew/console.hpp>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/inspect.hpp>
#include <curfew/io.hpp>
#include <iostream>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

namespace asio = boost::asio;
namespace http = curfew::http;

namespace {

inline constexpr curfew::task_kind errand{"errand"};
inline constexpr curfew::task_kind work{"work"};

asio::awaitable<http::response> do_work(curfew::context ctx, const http::request& /*request*/) {
  // Would set the terminal's title, and clear its screen.
  const curfew::task working(ctx, work, "\x1b]0;owned\x07\x1b[2Jin disk");
  std::ignore = co_await curfew::async_wait(ctx.done());
  co_return http::text(http::status::ok, "done");
}

void wait_for_the_end(const curfew::context& ctx) {
  const auto scope = curfew::with_cancel(ctx);
  const curfew::task waiting(scope, errand, "to be ended");
  std::ignore = scope.done().wait();
}

asio::awaitable<int> serve(curfew::context ctx) {
  http::router routes;
  routes.get("/work", do_work, http::route_options().no_time_limit());
  http::server server(std::move(routes), http::server_options().listen("127.0.0.1:0"));
  if (auto up = server.listen(); !up) {
    std::cerr << up.error() << '\n';
    co_return 1;
  }
  const std::jthread patient([ctx] { wait_for_the_end(ctx); });
  std::cout << server.url() << std::endl;
  auto served = co_await server.async_serve(ctx);
  co_return served ? 0 : 1;
}

asio::awaitable<int> call(curfew::context ctx, std::string url) {
  const curfew::task working(ctx, errand, "in front");
  std::ignore = co_await http::async_get(ctx, url + "/work");
  std::ignore = co_await curfew::async_wait(ctx.done());  // should the other one die
  co_return 0;
}

asio::awaitable<int> inspected(curfew::context ctx, std::string address, std::string url) {
  const curfew::inspect::inspection on;
  const curfew::inspect::console console(ctx, address,
                                         curfew::inspect::console_options().cancel_token("sesame"));
  if (url.empty()) co_return co_await serve(ctx);
  co_return co_await call(ctx, url);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string address = argc > 1 ? argv[1] : "127.0.0.1:6060";
  const std::string url = argc > 2 ? argv[2] : "";
  return curfew::run([&](curfew::context ctx) { return inspected(std::move(ctx), address, url); });
}
