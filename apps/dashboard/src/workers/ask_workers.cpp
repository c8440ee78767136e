#include "workers/ask_workers.hpp"

#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/remote/errc.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "base/text.hpp"
#include "lifeline.hpp"
#include "services/disk/disk.hpp"

namespace curfew_dashboard {

namespace {

using namespace std::chrono_literals;
namespace redis = curfew::redis;
namespace remote = curfew::remote;

constexpr auto patience = 1s;

/// Hears what the worker of a job tells, from its construction on, and says so where there is none to be heard.
class progress_listener {
 public:
  progress_listener(disk_workers& workers, const curfew::context& ctx, const std::string& channel,
                    const report_progress& tell)
      : scope_(curfew::with_cancel(ctx)) {
    auto made = workers.client.subscribe(scope_.ctx(), {channel, workers_channel});
    if (!made) return;
    heard_.emplace(std::move(*made));
    thread_ = std::thread([this, channel, &tell] { listen(channel, tell); });
  }
  progress_listener(const progress_listener&) = delete;
  progress_listener& operator=(const progress_listener&) = delete;
  ~progress_listener() {
    scope_.cancel();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void listen(const std::string& channel, const report_progress& tell) {
    bool somebody = false;
    bool begun = false;
    auto next_word = std::chrono::steady_clock::now() + patience;
    for (;;) {
      const auto limit =
          begun ? curfew::with_cancel(scope_.ctx()) : curfew::with_deadline(scope_.ctx(), next_word);
      auto got = heard_->next(limit.ctx());
      if (!got) {
        if (scope_.ctx().err() || !limit.ctx().err()) return;  // or the connection is lost
        tell({std::nullopt,
              somebody ? "Waiting for a worker that is free" : "No worker is there yet: waiting for one",
              {}});
        next_word += patience;
      } else if (got->channel != channel) {
        somebody = true;
      } else if (auto told = read_progress_line(got->payload)) {
        begun = true;
        tell(*std::move(told));
      }
    }
  }

  curfew::cancel_scope scope_;
  std::optional<redis::subscription> heard_;
  std::thread thread_;
};

failure failure_of(const curfew::error& why, const curfew::context& ctx) {
  if (ctx.err()) return ended_failure(ctx);
  if (why == remote::errc::job_failed) return {"internal", "The worker failed: " + to_utf8(why.doing()).text};
  if (why == remote::errc::gave_up) {
    return {"unavailable",
            "The job was given up: workers have begun it again and again, and none has ended it."};
  }
  if (why == remote::errc::queue_full)
    return {"unavailable", "Too many jobs wait for workers already; try again later."};
  if (why.code().category() == redis::redis_category() || why.cause() == remote::errc::lease_lost) {
    return {"unreachable",
            "Redis, where the workers get their jobs, does not answer: " + to_utf8(why.message()).text};
  }
  return {"internal", to_utf8(why.message()).text};
}

std::expected<json::value, failure> ask_a_worker(disk_workers& workers, const curfew::context& ctx,
                                                 const disk_job& job, const report_progress& tell) {
  const progress_listener listener(workers, ctx, job.channel, tell);
  auto got = workers.jobs.run(ctx, job);
  if (!got) return std::unexpected(failure_of(got.error(), ctx));
  return std::move(got->report);
}

}  // namespace

work_planner plan_disk_on_workers(std::vector<std::string> roots, std::shared_ptr<disk_workers> workers) {
  return [roots = std::move(roots),
          workers = std::move(workers)](const http::request& request) -> std::expected<heavy_work, refusal> {
    auto root = disk_root_of(request, roots);
    if (!root) return std::unexpected(std::move(root).error());
    disk_job job{*std::move(root), parent_of(request), std::string(request.target()),
                 "curfew-dashboard:progress:" + make_token()};
    return heavy_work(
        [workers, job = std::move(job)](const curfew::context& ctx, const report_progress& tell) {
          return ask_a_worker(*workers, ctx, job, tell);
        });
  };
}

}  // namespace curfew_dashboard
