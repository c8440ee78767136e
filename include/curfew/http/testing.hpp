#pragma once

#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <curfew/tls/certificate_authority.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::testing {

/// A server for a test: it listens on a free port of 127.0.0.1 and serves in threads of its own until it is
/// stopped or destroyed. It needs no test framework.
///
///     http::router routes;
///     routes.get("/hello/{name}", hello);
///     curfew::testing::http_server server(routes);
///     auto answer = http::get(ctx, server.url("/hello/you"));
///
/// Thread safety: any thread; only one may stop it.
class http_server {
 public:
  /// \param options  Without an address a free port, without a number of threads one. `on_error` gets its lines
  ///                 beside `complaints`.
  /// \param root     The parent of the requests' contexts: that of a manual clock, for one. When it ends, the
  ///                 server shuts down.
  /// Throws: std::system_error if there is no port, or no thread.
  explicit http_server(http::router routes, const http::server_options& options = {},
                       const context& root = background());
  /// The same with one handler, which gets every request, whatever its method and path.
  explicit http_server(http::handler handler, const http::server_options& options = {},
                       const context& root = background());
  http_server(const http_server&) = delete;
  http_server& operator=(const http_server&) = delete;
  /// Stops it, and waits for every handler to return. Requests that did not end with their context are named
  /// on standard error before, since a test hangs here because of them.
  ~http_server();

  [[nodiscard]] std::uint16_t port() const noexcept;
  /// \param path  "/hello?x=1".  \return "http://127.0.0.1:40312/hello?x=1"
  [[nodiscard]] std::string url(std::string_view path = {}) const;

  /// Begins the shutdown: the port is free soon, running requests get their grace time. Does not wait.
  void begin_stop() noexcept;
  /// Shuts down and waits for that; a second call returns the same report. Its `stuck` names the requests that
  /// went on although their context had ended: a test expects it to be empty.
  http::shutdown_report stop();

  /// What the server has told `on_error` so far: handlers that threw, responses that could not be sent.
  [[nodiscard]] std::vector<std::string> complaints() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace curfew::testing
