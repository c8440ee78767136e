#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/remote/hub.hpp>
#include <curfew/remote/queue.hpp>
#include <curfew/sync/semaphore.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "remote/queue_scripts.hpp"

namespace curfew::remote {

/// One call of `queue::work`: takes jobs, runs them, and renews their leases.
///
///     fetch() ──► do_job(): joined ──► handler ──► finish()          removed, and answered
///                    │ the origin has ended: removed
///                    │ begun too often: a dead letter
///                    └ the worker ends, and the handler gave up: given back
///
/// Invariants
///  1. A unit of slots_ is held for each job that is taken, from before it is taken until it is done with.
///  2. A job is in running_ while its handler runs; keep() renews the lease of those alone.
class queue_worker : public std::enable_shared_from_this<queue_worker> {
 public:
  queue_worker(hub& h, std::string stream, const queue_options& options, detail::job_handler f,
               std::size_t at_a_time);

  /// Until ctx ends, and all of its jobs have. On the caller's loop.
  boost::asio::awaitable<result<>> run(context ctx);

 private:
  using jobs = std::vector<scripts::queued_job>;

  boost::asio::awaitable<void> make_group(context ctx);
  boost::asio::awaitable<redis::result<jobs>> fetch(context ctx, std::size_t count);
  boost::asio::awaitable<void> keep(context ctx);
  boost::asio::awaitable<void> do_job(context ctx, scripts::queued_job job, semaphore::permit slot);
  boost::asio::awaitable<void> do_joined(context ctx, context own, scripts::queued_job job);
  boost::asio::awaitable<void> finish(context own, scripts::queued_job job, std::string kind,
                                      std::string text, bool must);
  boost::asio::awaitable<void> give_back(std::string id);
  boost::asio::awaitable<void> bury(scripts::queued_job job, std::string why);

  redis::client& client_;
  hub& hub_;
  const std::string stream_;
  const queue_options options_;
  const std::chrono::milliseconds lease_;
  const detail::job_handler handler_;
  const std::string name_;
  const std::size_t at_a_time_;
  semaphore slots_;
  clock::time_point next_look_;  // for jobs of others

  std::mutex mutex_;
  std::unordered_map<std::string, canceler> running_;  // guarded by mutex_
};

/// Of a queue, in Redis.
[[nodiscard]] std::string stream_of(const std::string& queue_name);
[[nodiscard]] std::string dead_letters_of(const std::string& stream);
inline constexpr const char* worker_group = "workers";

}  // namespace curfew::remote
