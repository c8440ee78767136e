#include "worker_main.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/io/offload.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/redis/commands.hpp>
#include <iostream>
#include <tuple>
#include <utility>
#include <vector>

#include "base/gather.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "base/thread_priority.hpp"
#include "services/disk/disk.hpp"
#include "workers/disk_workers.hpp"

namespace curfew_dashboard {

namespace {

using namespace std::chrono_literals;
namespace redis = curfew::redis;

constexpr std::size_t recent_in_events = 16;
constexpr curfew::clock::duration least_distance = 100ms;
constexpr curfew::clock::duration tick = 1s;

/// One job after another, in any thread.
class reporter {
 public:
  reporter(disk_workers& shared, std::vector<std::string> roots, request_log& log)
      : shared_(shared),
        roots_(std::move(roots)),
        log_(log) {}

  curfew::result<disk_answer> operator()(const curfew::context& ctx, const disk_job& job) const {
    become_background_thread();
    const std::string root = to_utf8(job.root).text;
    if (std::find(roots_.begin(), roots_.end(), job.root) == roots_.end()) {
      say("refused " + root);
      return disk_answer{std::unexpected(
          failure{"unavailable", "The " + worker_name() + " makes no reports of " + root + " (--root)."})};
    }
    request_log::entry shown(log_, ctx, {job.parent, job.target});
    say("began " + root);
    const report_progress tell = [&](const progress& p) {
      // Progress that is late is worth nothing, and the work does not wait for it.
      const auto limit = curfew::with_timeout(ctx, least_distance);
      std::ignore = shared_.client.run(limit.ctx(), redis::publish(job.channel, progress_line(p)));
    };
    tell({std::nullopt, "The " + worker_name() + " has begun", {}});
    auto made = disk_report(ctx, job.root, tell);
    if (made) {
      shown.succeeded();
      say("done with " + root);
    } else if (ctx.err()) {
      say("stopped " + root + ": " + to_utf8(ctx.cause().message()).text);
      return curfew::error::ended(ctx);
    } else {
      say("failed " + root + ": " + made.error().message);
    }
    return disk_answer{std::move(made)};
  }

 private:
  static void say(const std::string& what) { log_line(worker_name() + ": " + what); }

  disk_workers& shared_;
  const std::vector<std::string> roots_;
  request_log& log_;
};

asio::awaitable<bool> make_reports(curfew::context ctx, disk_workers& shared, const worker_options& options,
                                   request_log& log) {
  const reporter make(shared, options.roots, log);
  auto work = [&](const curfew::context& of) { return shared.jobs.work(of, make, options.jobs); };
  std::ignore = co_await curfew::async_offload(std::move(ctx), std::move(work));
  co_return true;
}

/// Publishes the snapshot on each change and each second, and says when Redis comes and goes.
asio::awaitable<bool> tell_of_requests(curfew::context ctx, disk_workers& shared, request_log& log) {
  change_hub::subscription changes(log.changes());
  const std::string boot = boot_id();
  bool connected = false;
  bool complained = false;
  while (!ctx.err()) {
    json::object snapshot = log.snapshot(recent_in_events);
    snapshot["ignoring"] = false;
    snapshot["boot_id"] = boot;
    auto limit = curfew::with_timeout(ctx, tick);
    auto message = redis::publish(workers_channel, json::serialize(snapshot));
    auto sent = co_await shared.client.async_run(limit.ctx(), std::move(message));
    if (ctx.err()) break;
    if (sent && !connected) {
      std::cout << worker_name() << " waits for jobs" << std::endl;
    } else if (!sent && !complained) {
      log_line(worker_name() + ": Redis does not answer: " + sent.error().message());
    }
    connected = sent.has_value();
    complained = !connected;
    std::ignore = co_await curfew::async_sleep_for(ctx, least_distance);
    auto pause = curfew::with_timeout(ctx, tick - least_distance);
    std::ignore = co_await changes.async_wait(pause.ctx());
  }
  co_return true;
}

}  // namespace

std::string worker_name() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return std::string(worker_prefix) + to_utf8(host.data()).text + ':' + std::to_string(::getpid());
}

boost::asio::awaitable<int> run_worker(curfew::context ctx, worker_options options, request_log& log) {
  ::prctl(PR_SET_NAME, "curfew-worker");
  disk_workers shared(options.redis.url);
  std::vector<asio::awaitable<bool>> parts;
  parts.push_back(make_reports(ctx, shared, options, log));
  parts.push_back(tell_of_requests(ctx, shared, log));
  std::ignore = co_await gather(ctx, std::move(parts));
  co_return 0;
}

}  // namespace curfew_dashboard
