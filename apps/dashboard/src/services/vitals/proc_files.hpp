#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace curfew_dashboard {

/// A whole small file; none if it cannot be read (a process that has just ended).
[[nodiscard]] std::optional<std::string> read_small_file(const std::string& path);

/// Of /proc/meminfo, in bytes.
struct memory_state {
  std::uint64_t total = 0;
  std::uint64_t available = 0;
  std::uint64_t swap_total = 0;
  std::uint64_t swap_free = 0;
};
[[nodiscard]] memory_state parse_meminfo(std::string_view text);

/// Of /proc/<pid>/stat.
struct process_state {
  std::string name;  // bytes, not text
  std::uint64_t rss_pages = 0;
};
/// None if the text is none: the name may hold spaces and parentheses.
[[nodiscard]] std::optional<process_state> parse_process_stat(std::string_view text);

/// The numbers at the beginning of /proc/loadavg and /proc/uptime.
[[nodiscard]] std::vector<double> parse_numbers(std::string_view text, std::size_t count);

/// The names below `proc` that are process ids.
[[nodiscard]] std::vector<pid_t> list_processes(const std::string& proc);

}  // namespace curfew_dashboard
