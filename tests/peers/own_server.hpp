#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/http/tls.hpp>
#include <curfew/io/wait.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "http/waiting.hpp"
#include "peers/tls.hpp"

namespace curfew::tests {

/// What "/stream" says in its pieces, and what the peers' own "/stream" says.
inline std::string streamed_text() {
  std::string made;
  for (int i = 0; i < 100; ++i) made += "piece " + std::to_string(i) + '\n';
  return made;
}

/// The server that the other programs call, or that a browser opens.
class own_server {
 public:
  explicit own_server(http::server_options options = {})
      : server_(routes(), options.max_body_size(max_body).threads(1)) {}
  /// Over TLS, with the certificate of the tests here.
  explicit own_server(bool tls) : own_server(tls ? over_tls() : http::server_options()) {}
  /// \param files  Beside the certificate, which it has.
  static http::server_options over_tls(http::tls_server_options files = {}) {
    files.certificate(test_tls::shared().server.chain_file(), test_tls::shared().server.key_file());
    const auto loaded = http::tls_server::load(files);
    if (!loaded) throw std::runtime_error(loaded.error().message());
    return http::server_options().listen("127.0.0.1:0", http::listen_options().tls(*loaded));
  }

  static constexpr std::size_t max_body = 2'000'000;

  [[nodiscard]] std::string url(std::string_view path) const { return server_.url(path); }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port()); }
  [[nodiscard]] std::uint16_t port() const { return server_.port(); }

  /// Waits until a handler of "/wait", or a body of "/hold" or "/endless", has begun.
  [[nodiscard]] bool has_begun() { return begun_.wait(); }
  /// How the context of that one ended; waits for it.
  cause end() { return ended_.wait()[0].second; }

 private:
  http::router routes() {
    http::router made;
    made.get("/hello", [](context, const http::request&) -> boost::asio::awaitable<http::response> {
      co_return http::text(http::status::ok, "hello\n");
    });
    // By whom it was asked: the same twice is the same connection.
    made.get("/remote", [](context, const http::request& r) -> boost::asio::awaitable<http::response> {
      co_return http::text(http::status::ok, r.remote());
    });
    const auto echo = [](context, const http::request& r) -> boost::asio::awaitable<http::response> {
      co_return http::text(http::status::ok, r.body());
    };
    made.post("/echo", echo).put("/echo", echo);
    made.get("/stream", [](context, const http::request&) -> boost::asio::awaitable<http::response> {
      co_return http::stream(
          "text/plain", [](context ctx, http::body_writer out) -> boost::asio::awaitable<void> {
            for (int i = 0; i < 100; ++i) {
              const auto sent = co_await out.async_write(ctx, "piece " + std::to_string(i) + '\n');
              if (!sent) co_return;
            }
          });
    });
    made.get("/wait", [this](context ctx, const http::request&) -> boost::asio::awaitable<http::response> {
      begun_.set();
      co_await async_wait(ctx.done());
      ended_.add(ctx);
      co_return http::text(http::status::ok, "late\n");
    });
    // Sends a piece, and then nothing any more.
    made.get("/hold", [this](context, const http::request&) -> boost::asio::awaitable<http::response> {
      auto held = http::stream("text/plain",
                               [this](context ctx, http::body_writer out) -> boost::asio::awaitable<void> {
                                 std::ignore = co_await out.async_write(ctx, "first piece\n");
                                 begun_.set();
                                 co_await async_wait(ctx.done());
                                 ended_.add(ctx);
                               });
      held.set("X-Content-Type-Options", "nosniff");  // a browser shows the piece without looking at more
      co_return held;
    });
    // Sends as much as is taken.
    made.get("/endless", [this](context, const http::request&) -> boost::asio::awaitable<http::response> {
      co_return http::stream("text/plain",
                             [this](context ctx, http::body_writer out) -> boost::asio::awaitable<void> {
                               const std::string piece(64 * 1024, '.');
                               while (co_await out.async_write(ctx, piece)) begun_.set();
                               ended_.add(ctx);
                             });
    });
    // Refuses a body of which it has read nothing.
    const auto refuse = [](context, const http::request&) -> boost::asio::awaitable<http::response> {
      co_return http::text(http::status::content_too_large, "refused\n");
    };
    made.post("/refuse", refuse, http::route_options().stream_body());
    return made;
  }

  event begun_;
  ends ended_;
  testing::http_server server_;
};

}  // namespace curfew::tests
