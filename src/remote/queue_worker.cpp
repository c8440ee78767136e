#include "remote/queue_worker.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/redis.hpp>
#include <exception>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "remote/random_name.hpp"

namespace curfew::remote {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t fetched_at_once = 64;

std::chrono::milliseconds checked(clock::duration lease) {
  constexpr std::chrono::milliseconds least{30};
  if (lease < least) throw std::invalid_argument("curfew::remote::queue: a job's lease of less than 30 ms");
  return std::chrono::ceil<std::chrono::milliseconds>(lease);
}

/// Longer and longer pauses, while Redis is away.
class pauses {
 public:
  asio::awaitable<void> pause(context ctx) {
    std::ignore = co_await async_sleep_for(ctx, next_);
    next_ = std::min<clock::duration>(next_ * 2, 1s);
  }
  void reset() noexcept { next_ = first; }

 private:
  static constexpr clock::duration first = 20ms;
  clock::duration next_ = first;
};

}  // namespace

std::string stream_of(const std::string& queue_name) { return "curfew:{queue:" + queue_name + '}'; }
std::string dead_letters_of(const std::string& stream) { return stream + ":dead"; }

queue_worker::queue_worker(hub& h, std::string stream, const queue_options& options, detail::job_handler f,
                           std::size_t at_a_time)
    : client_(h.client()),
      hub_(h),
      stream_(std::move(stream)),
      options_(options),
      lease_(checked(options.job_lease())),
      handler_(std::move(f)),
      name_(random_name()),
      at_a_time_(std::max<std::size_t>(at_a_time, 1)),
      slots_(at_a_time_) {}

asio::awaitable<result<>> queue_worker::run(context ctx) {
  const auto self = shared_from_this();
  const auto here = co_await asio::this_coro::executor;
  const context beyond = without_cancel(ctx);  // for what its end leaves to do
  auto keeping = with_cancel(beyond);
  co_await make_group(ctx);
  asio::co_spawn(here, keep(keeping.ctx()), asio::detached);
  pauses between;
  while (!ctx.err()) {
    auto slot = co_await async_acquire(ctx, slots_);
    if (!slot) break;
    std::vector<semaphore::permit> more;
    more.push_back(std::move(*slot));
    while (more.size() < fetched_at_once) {
      auto another = slots_.try_acquire();
      if (!another) break;
      more.push_back(std::move(*another));
    }
    auto got = co_await fetch(ctx, more.size());
    if (!got) {
      more.clear();
      if (!ctx.err() && got.error().text().starts_with("NOGROUP")) co_await make_group(ctx);
      co_await between.pause(ctx);
      continue;
    }
    between.reset();
    for (auto& job : *got) {
      asio::co_spawn(here, do_job(ctx, std::move(job), std::move(more.back())), asio::detached);
      more.pop_back();
    }
  }
  // Its jobs, whose contexts have ended, too.
  std::ignore = co_await async_acquire(beyond, slots_, at_a_time_);
  keeping.cancel();
  const auto limit = with_timeout(beyond, 1s);
  std::ignore = co_await client_.async_run(limit.ctx(), scripts::leave(stream_, worker_group, name_));
  co_return error::ended(ctx, "a worker");
}

asio::awaitable<void> queue_worker::make_group(context ctx) {
  pauses between;
  while (!ctx.err()) {
    auto made = co_await client_.async_run(ctx, redis::xgroup_create(stream_, worker_group, "0"));
    if (made || made.error().text().starts_with("BUSYGROUP")) co_return;
    co_await between.pause(ctx);
  }
}

asio::awaitable<redis::result<queue_worker::jobs>> queue_worker::fetch(context ctx, std::size_t count) {
  const auto now = clock::now();
  if (now >= next_look_) {
    auto found =
        co_await client_.async_run(ctx, scripts::take_over(stream_, worker_group, name_, lease_, count));
    if (!found) co_return std::move(found).error();
    if (found->is_error()) co_return redis::detail::server_error(*found, "taking jobs over");
    auto taken = scripts::jobs_of(std::move(*found));
    if (taken.size() < count) next_look_ = now + lease_ / 3;
    if (!taken.empty()) co_return taken;
  }
  const auto longest =
      std::chrono::ceil<std::chrono::milliseconds>(std::max<clock::duration>(next_look_ - clock::now(), 1ms));
  const auto how = redis::xread_options().count(count).wait(longest);
  auto got = co_await client_.async_run(ctx, redis::xreadgroup_blocking(worker_group, name_, stream_, how));
  if (!got) co_return std::move(got).error();
  jobs made;
  for (auto& from : *got) {
    for (auto& each : from.entries) made.push_back(scripts::job_of(std::move(each)));
  }
  co_return made;
}

/// Renews the leases of what runs.
asio::awaitable<void> queue_worker::keep(context ctx) {
  const auto self = shared_from_this();
  while (!ctx.err()) {
    std::ignore = co_await async_sleep_for(ctx, lease_ / 3);
    std::vector<std::string> ids;
    {
      const std::lock_guard guard(mutex_);
      for (const auto& [id, ends] : running_) ids.push_back(id);
    }
    if (ids.empty() || ctx.err()) continue;
    auto lost = co_await client_.async_run(ctx, scripts::renew(stream_, worker_group, name_, ids));
    if (!lost) continue;  // the lease may be over before Redis is back; then another worker has the job
    std::vector<canceler> ended;
    {
      const std::lock_guard guard(mutex_);
      for (const auto& id : *lost) {
        if (const auto it = running_.find(id); it != running_.end()) ended.push_back(it->second);
      }
    }
    for (auto& each : ended) each.cancel(cause(errc::taken_over));
  }
}

asio::awaitable<void> queue_worker::do_job(context ctx, scripts::queued_job job, semaphore::permit slot) {
  const auto self = shared_from_this();
  const auto mine = std::move(slot);
  if (job.attempt > options_.max_attempts()) {
    std::string why = "begun " + std::to_string(job.attempt - 1) + " times";
    co_await bury(std::move(job), std::move(why));
    co_return;
  }
  if (job.ticket.empty()) {
    co_await do_joined(ctx, ctx, std::move(job));
    co_return;
  }
  auto joined = co_await hub_.async_join(ctx, job.ticket);
  if (!joined) {
    if (joined.error() == errc::bad_ticket) {
      std::string why = joined.error().message();
      co_await bury(std::move(job), std::move(why));
    } else {  // Redis is away, or the worker ends
      co_await give_back(job.id);
    }
    co_return;
  }
  if (joined->err() && !ctx.err()) {
    co_await finish(ctx, std::move(job), {}, {}, false);
    co_return;
  }
  const context of_job = joined->ctx();
  co_await do_joined(of_job, ctx, std::move(job));
}

/// \param own  The worker's.
asio::awaitable<void> queue_worker::do_joined(context ctx, context own, scripts::queued_job job) {
  const auto scope = with_cancel(ctx);
  {
    const std::lock_guard guard(mutex_);
    running_.emplace(job.id, scope.canceler());
  }
  detail::job_answer answer;
  try {
    job_info info;
    info.id = job.id;
    info.attempt = job.attempt;
    std::string body = job.body;
    answer = co_await handler_(scope.ctx(), std::move(body), std::move(info));
  } catch (const std::exception& e) {
    answer = {true, e.what()};
  } catch (...) {
    answer = {true, "thrown, and no std::exception"};
  }
  const bool is_over = static_cast<bool>(ctx.err());
  const bool is_of_another = static_cast<bool>(scope.ctx().err()) && !is_over;
  const std::string id = job.id;
  if (answer.failed && own.err()) {
    co_await give_back(id);
  } else if (!answer.failed || !is_of_another) {
    std::string kind = "ok";
    if (answer.failed)
      kind = is_over ? "" : "error";  // nobody waits for what the end of the origin made fail
    const bool must = !job.ticket.empty() && !is_over;
    co_await finish(ctx, std::move(job), std::move(kind), std::move(answer.text), must);
  }
  const std::lock_guard guard(mutex_);
  running_.erase(id);
}

/// Tries until it is done, or another worker may have the job: its lease is over then.
/// \param own  While it lives, the answer has to be delivered where `must` says so.
asio::awaitable<void> queue_worker::finish(context own, scripts::queued_job job, std::string kind,
                                           std::string text, bool must) {
  const auto limit = with_timeout(without_cancel(own), std::max<clock::duration>(lease_, 1s));
  pauses between;
  while (!limit.err()) {
    auto done = co_await client_.async_run(
        limit.ctx(), scripts::finish(stream_, worker_group, job, kind, text, must && !own.err()));
    if (done && *done != 0) co_return;
    co_await between.pause(limit.ctx());
  }
}

/// Another worker gets it at its next look; where this fails, when its lease is over.
asio::awaitable<void> queue_worker::give_back(std::string id) {
  const auto limit = with_timeout(background(), 1s);
  std::ignore = co_await client_.async_run(limit.ctx(),
                                           scripts::give_back(stream_, worker_group, name_, id, lease_ * 2));
}

asio::awaitable<void> queue_worker::bury(scripts::queued_job job, std::string why) {
  const auto limit = with_timeout(background(), std::max<clock::duration>(lease_, 1s));
  const auto how = redis::xadd_options().max_length(options_.max_dead());
  const std::vector<redis::pair_of_words> fields{{"id", job.id}, {"b", job.body}, {"why", why}};
  auto written = co_await client_.async_run(limit.ctx(), redis::xadd(dead_letters_of(stream_), fields, how));
  if (written) co_await finish(background(), std::move(job), "gave up", std::move(why), false);
}

}  // namespace curfew::remote
