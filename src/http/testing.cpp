#include <cstdio>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/http/testing.hpp>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

namespace curfew::testing {

namespace {

http::router all_to(http::handler handler) {
  http::router routes;
  routes.around([handler = std::move(handler)](const http::handler&) { return handler; });
  return routes;
}

}  // namespace

struct http_server::impl {
  impl(http::router routes, const http::server_options& options, const context& root)
      : until(with_cancel(root)),
        server(std::in_place, std::move(routes), with_log(options)) {
    if (auto up = server->listen(); !up) throw std::system_error(up.error().code(), up.error().doing());
    thread = std::thread([this] { report = server->serve(until); });
  }

  http::server_options with_log(const http::server_options& given) {
    http::server_options made = given;
    if (made.threads() == 0) made.threads(1);
    made.on_error([this, also = given.on_error()](std::string_view line) {
      if (also) also(line);
      const std::lock_guard guard(mutex);
      lines.emplace_back(line);
    });
    return made;
  }

  mutable std::mutex mutex;
  std::vector<std::string> lines;  // guarded by mutex

  cancel_scope until;
  std::optional<http::server> server;
  std::optional<result<http::shutdown_report>> report;  // of the thread, until it is joined
  std::thread thread;
};

http_server::http_server(http::router routes, const http::server_options& options, const context& root)
    : impl_(std::make_unique<impl>(std::move(routes), options, root)) {}

http_server::http_server(http::handler handler, const http::server_options& options, const context& root)
    : http_server(all_to(std::move(handler)), options, root) {}

http_server::~http_server() {
  const bool known = !impl_->thread.joinable();  // the test has stopped it, and has the report
  const auto report = stop();
  for (const auto& line : report.stuck) {
    if (known) break;
    std::fprintf(stderr, "curfew: %s: did not end with its context; the test waits for it\n", line.c_str());
  }
  impl_->server.reset();
}

std::uint16_t http_server::port() const noexcept { return impl_->server->port(); }

std::string http_server::url(std::string_view path) const { return impl_->server->url().append(path); }

void http_server::begin_stop() noexcept { impl_->until.cancel(); }

http::shutdown_report http_server::stop() {
  begin_stop();
  if (impl_->thread.joinable()) impl_->thread.join();
  return impl_->report && *impl_->report ? **impl_->report : http::shutdown_report();
}

std::vector<std::string> http_server::complaints() const {
  const std::lock_guard guard(impl_->mutex);
  return impl_->lines;
}

}  // namespace curfew::testing
