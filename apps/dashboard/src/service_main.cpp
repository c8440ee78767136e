#include "service_main.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/http/server.hpp>
#include <iostream>
#include <memory>
#include <utility>

#include "base/log.hpp"
#include "services/disk/disk.hpp"
#include "services/packages/packages.hpp"
#include "services/service.hpp"
#include "services/vitals/vitals.hpp"
#include "workers/ask_workers.hpp"

namespace curfew_dashboard {

namespace {

using namespace std::chrono_literals;

work_planner planner_for(const service_options& options) {
  if (options.name == "disk" && !options.workers.empty())
    return plan_disk_on_workers(options.roots, std::make_shared<disk_workers>(options.workers.url));
  if (options.name == "disk") return plan_disk(options.roots);
  if (options.name == "packages")
    return plan_packages(std::make_shared<package_library>(options.status_file, options.database.url));
  vitals_source from;
  from.proc = options.proc;
  return plan_vitals(std::move(from));
}

http::server_options serving(const service_options& options) {
  // No grace: when the service has to stop, nobody waits any more. The front's limit is the budget.
  return http::server_options().listen(options.listen).grace(0s).max_request_time(11min);
}

}  // namespace

boost::asio::awaitable<int> run_service(curfew::context ctx, service_options options, lifeline dashboard,
                                        request_log& log) {
  // The name in lists of processes: "curfew-disk".
  ::prctl(PR_SET_NAME, ("curfew-" + options.name).c_str());
  const auto kind = options.name == "vitals" ? service::answer::whole : service::answer::streamed;
  service served(options.name, kind, planner_for(options), log, dashboard.token());
  http::server server(served.routes(), serving(options));
  if (auto listening = server.listen(); !listening) {
    log_line(options.name + ": " + listening.error().message());
    co_return 1;
  }
  auto scope = curfew::with_cancel(ctx);
  const curfew::context& living = scope;
  // Work that ignores its context ends with the service.
  const auto stop_all = [&served]() noexcept { served.stop(); };
  const curfew::on_done ending(living, stop_all);
  auto watched = std::make_shared<lifeline>(std::move(dashboard));
  if (*watched) {
    auto executor = co_await boost::asio::this_coro::executor;
    const auto keep = [watched](const std::exception_ptr&) {};
    boost::asio::co_spawn(executor, watched->async_watch(living, scope.canceler()), keep);
  }
  std::cout << "listening on " << server.url() << std::endl;
  auto report = co_await server.async_serve(living);
  if (!report) {
    log_line(options.name + ": " + report.error().message());
    co_return 1;
  }
  for (const std::string& request : report->stuck) log_line(options.name + ": did not stop: " + request);
  // Work that has not ended still uses what would be destroyed now.
  if (!report->stuck.empty()) ::_exit(0);
  co_return 0;
}

}  // namespace curfew_dashboard
