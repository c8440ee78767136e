#pragma once

#include <curfew/core/clock.hpp>
#include <curfew/redis/client.hpp>
#include <curfew/remote/hub.hpp>
#include <curfew/remote/queue.hpp>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/panel_lines.hpp"

// What the disk service, its workers and the front say to each other over Redis.

namespace curfew_dashboard {

/// Workers publish their snapshots here.
inline constexpr const char* workers_channel = "curfew-dashboard:workers";
/// Each name of a worker begins with it.
inline constexpr std::string_view worker_prefix = "worker ";
/// How long a process may be silent before the others take it for dead.
inline constexpr curfew::clock::duration worker_lease = std::chrono::seconds(3);

/// A report that a worker makes of a directory of its own machine. No text has a NUL.
struct disk_job {
  std::string root;
  std::string parent;   ///< The id of the front's request; empty if there is none.
  std::string target;   ///< Of the request.
  std::string channel;  ///< Where the worker publishes its progress.
};

struct disk_answer {
  std::expected<json::value, failure> report;
};

[[nodiscard]] std::optional<progress> read_progress_line(std::string_view line);

/// Tells whether two machines have the same monotonic clock: a name that the kernel makes up when it starts.
[[nodiscard]] std::string boot_id();

}  // namespace curfew_dashboard

template <>
struct curfew::remote::codec<curfew_dashboard::disk_job> {
  static std::string write(const curfew_dashboard::disk_job& job);
  static std::optional<curfew_dashboard::disk_job> read(std::string_view text);
};

template <>
struct curfew::remote::codec<curfew_dashboard::disk_answer> {
  static std::string write(const curfew_dashboard::disk_answer& answer);
  static std::optional<curfew_dashboard::disk_answer> read(std::string_view text);
};

namespace curfew_dashboard {

/// The way to the workers of a Redis, and theirs to their jobs.
/// Thread safety: any thread.
struct disk_workers {
  /// Throws: std::system_error if the URL is none.
  explicit disk_workers(const std::string& url);

  curfew::redis::client client;
  curfew::remote::hub hub;
  curfew::remote::queue<disk_job, disk_answer> jobs;
};

}  // namespace curfew_dashboard
