#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/redis/answer.hpp>
#include <curfew/redis/command.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace curfew::remote::scripts {

/// A job, as it stands in the stream.
struct queued_job {
  std::string id;
  std::string ticket;   // empty: it has no origin
  std::string results;  // the stream that its answer goes to; empty: none
  std::string number;   // names the call that waits for it
  std::string body;
  unsigned attempt = 1;
};

/// Adds a job. \return its id; none: the queue is full.
[[nodiscard]] redis::command<std::optional<std::string>> push(const std::string& stream,
                                                              std::size_t max_length, const queued_job& what);

/// How a job is done with.
enum class finished : std::uint8_t {
  not_delivered,  ///< Its stream of answers is not there now; the job stays.
  done,
  by_another  ///< It is no longer in the queue: another worker was first, or nobody waits for it.
};

/// Removes a job, and puts its answer into the stream that it names, if that is there.
/// \param kind       "ok", "error", "gave up"; empty: there is no answer.
/// \param must       Without that stream the job stays.
[[nodiscard]] redis::command<std::int64_t> finish(const std::string& stream, const std::string& group,
                                                  const queued_job& what, std::string_view kind,
                                                  const std::string& text, bool must);

/// Takes jobs over whose worker has been silent for longer than that, and forgets workers that are gone.
[[nodiscard]] redis::command<redis::reply> take_over(const std::string& stream, const std::string& group,
                                                     const std::string& worker,
                                                     std::chrono::milliseconds idle, std::size_t count);
[[nodiscard]] std::vector<queued_job> jobs_of(redis::reply&& taken_over);
[[nodiscard]] queued_job job_of(redis::stream_entry&& entry);

/// Renews the leases of jobs. \return those that another worker has now, or that are done.
[[nodiscard]] redis::command<std::vector<std::string>> renew(const std::string& stream,
                                                             const std::string& group,
                                                             const std::string& worker,
                                                             const std::vector<std::string>& ids);

/// Gives a job back: another worker takes it over at its next look.
[[nodiscard]] redis::command<redis::reply> give_back(const std::string& stream, const std::string& group,
                                                     const std::string& worker, const std::string& id,
                                                     std::chrono::milliseconds idle);

/// Forgets a worker that has no jobs left.
[[nodiscard]] redis::command<redis::reply> leave(const std::string& stream, const std::string& group,
                                                 const std::string& worker);

}  // namespace curfew::remote::scripts
