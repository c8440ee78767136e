#include "front_main.hpp"

#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <csignal>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/tls.hpp>
#include <curfew/io/with.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/gather.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "front/front.hpp"
#include "front/service_process.hpp"
#include "lifeline.hpp"

namespace curfew_dashboard {

namespace {

using namespace std::chrono_literals;

/// Empty if each is a directory that can be opened.
std::string wrong_with(const std::vector<std::string>& roots) {
  for (const std::string& root : roots) {
    std::error_code failed;
    const std::filesystem::directory_iterator opened(root, failed);
    if (failed) return "--root " + to_utf8(root).text + ": " + failed.message();
  }
  return {};
}

std::vector<std::shared_ptr<service_process>> make_services(const front_options& options) {
  const std::string token = make_token();
  std::vector<std::shared_ptr<service_process>> services;
  for (const std::string_view name : service_names) {
    std::vector<std::string> arguments{"service", std::string(name), "--listen", "127.0.0.1:0"};
    if (name == "disk") {
      for (const std::string& root : options.roots) arguments.push_back("--root=" + root);
      if (!options.workers.empty()) arguments.push_back("--workers=" + options.workers.given);
    }
    if (name == "packages" && !options.database.empty())
      arguments.push_back("--database=" + options.database.given);
    services.push_back(std::make_shared<service_process>(std::string(name), std::move(arguments), token));
  }
  return services;
}

/// "127.0.0.1:8080" of "http://127.0.0.1:8080"
std::string address_of(const std::string& url) { return url.substr(url.find("//") + 2); }

asio::awaitable<bool> keep_running(std::shared_ptr<service_process> service, curfew::context ctx) {
  co_await service->async_run(std::move(ctx));
  co_return true;
}

/// Reads the certificate again at each SIGHUP.
asio::awaitable<bool> mind_certificate(http::tls_server tls, curfew::context ctx) {
  asio::signal_set hangup(co_await asio::this_coro::executor, SIGHUP);
  for (;;) {
    auto came = co_await hangup.async_wait(curfew::with(ctx));
    if (!came) co_return true;
    auto read = tls.reload();
    log_line(read ? "the certificate was read again" : read.error().message() + "; the old one stays");
  }
}

asio::awaitable<bool> serve(std::shared_ptr<http::server> server, curfew::cancel_scope& scope) {
  auto report = co_await server->async_serve(scope.ctx());
  scope.cancel("the dashboard has stopped");
  if (report) co_return true;
  log_line(report.error().message());
  co_return false;
}

}  // namespace

asio::awaitable<int> run_front(curfew::context ctx, front_options options, request_log& log) {
  // Those of workers may be on other machines.
  if (const std::string wrong = options.workers.empty() ? wrong_with(options.roots) : ""; !wrong.empty()) {
    log_line(wrong);
    co_return 1;
  }
  const auto services = make_services(options);
  front facing(co_await asio::this_coro::executor, options, services, log);
  http::listen_options how;
  if (!options.tls_certificate.empty()) {
    auto tls = http::tls_server::load(
        http::tls_server_options().certificate(options.tls_certificate, options.tls_key));
    if (!tls) {
      log_line(tls.error().message());
      co_return 1;
    }
    how.tls(*tls);
  }
  // A panel may take as long as the largest budget. At shutdown requests get a short grace time only.
  auto server = std::make_shared<http::server>(
      facing.routes(),
      http::server_options().listen(options.listen, how).grace(250ms).max_request_time(11min));
  if (auto listening = server->listen(); !listening) {
    log_line(listening.error().message());
    co_return 1;
  }
  facing.let_in(front_access(address_of(server->url()), options.hosts));
  std::cout << "The dashboard is at " << server->url() << "/  (Ctrl-C stops it)" << std::endl;

  auto scope = curfew::with_cancel(ctx);
  std::vector<asio::awaitable<bool>> parts;
  parts.push_back(serve(server, scope));
  for (const auto& service : services) parts.push_back(keep_running(service, scope.ctx()));
  if (how.tls()) parts.push_back(mind_certificate(*how.tls(), scope.ctx()));
  const auto fine = co_await gather(scope.ctx(), std::move(parts));
  co_return fine.front() ? 0 : 1;
}

}  // namespace curfew_dashboard
