// A server that speaks https, and reads its certificate again when it gets SIGHUP: what is connected goes on.
//
//     https_server chain.pem key.pem [address]      prints its URL; Ctrl-C ends it

#include <boost/asio/awaitable.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>
#include <csignal>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/io.hpp>
#include <iostream>
#include <string>
#include <tuple>

namespace asio = boost::asio;
namespace http = curfew::http;

namespace {

asio::awaitable<http::response> hello(curfew::context, const http::request& request) {
  co_return http::text(http::status::ok, "Hello, " + std::string(request.param("name")) + "!\n");
}

asio::awaitable<void> reload_at_hangup(curfew::context ctx, http::tls_server tls) {
  asio::signal_set hangup(co_await asio::this_coro::executor, SIGHUP);
  for (;;) {
    auto came = co_await hangup.async_wait(curfew::with(ctx));
    if (!came) co_return;
    auto read = tls.reload();
    if (read) {
      std::cout << "certificates read again" << std::endl;
    } else {
      std::cerr << read.error() << "; the old ones stay" << std::endl;
    }
  }
}

asio::awaitable<int> serve(curfew::context ctx, http::tls_server tls, std::string address) {
  http::router routes;
  routes.get("/hello/{name}", hello);
  http::server server(routes, http::server_options().listen(address, http::listen_options().tls(tls)));
  if (auto up = server.listen(); !up) {
    std::cerr << up.error() << '\n';
    co_return 1;
  }
  std::cout << server.url() << std::endl;
  const auto reload = [&](curfew::context own) { return reload_at_hangup(own, tls); };
  auto body = [&](curfew::task_group& group) -> asio::awaitable<void> {
    curfew::spawn(group, co_await asio::this_coro::executor, reload);
    std::ignore = co_await server.async_serve(group.ctx());
  };
  auto done = co_await curfew::async_task_group(ctx, body);
  co_return done ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "https_server chain.pem key.pem [address]\n";
    return 2;
  }
  auto tls = http::tls_server::load(http::tls_server_options().certificate(argv[1], argv[2]));
  if (!tls) {
    std::cerr << tls.error() << '\n';  // which file, and what is wrong with it
    return 1;
  }
  const std::string address = argc > 3 ? argv[3] : "127.0.0.1:8443";
  return curfew::run([&](curfew::context ctx) { return serve(ctx, *tls, address); });
}
