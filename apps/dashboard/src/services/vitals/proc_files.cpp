#include "services/vitals/proc_files.hpp"

#include <fcntl.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "base/file_descriptor.hpp"

namespace curfew_dashboard {

namespace {

template <class Number>
bool parse(std::string_view text, Number& number) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failed == std::errc() && end == text.data() + text.size();
}

/// Takes the first word off `text`.
std::string_view take_word(std::string_view& text) {
  const auto begin = std::min(text.find_first_not_of(" \t\n"), text.size());
  text.remove_prefix(begin);
  const auto word = text.substr(0, text.find_first_of(" \t\n"));
  text.remove_prefix(word.size());
  return word;
}

}  // namespace

std::optional<std::string> read_small_file(const std::string& path) {
  const file_descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  std::string text;
  std::array<char, 4096> chunk{};
  constexpr std::size_t limit = 256 * 1024;
  while (text.size() < limit) {
    const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return text;
}

memory_state parse_meminfo(std::string_view text) {
  memory_state memory;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::string_view name = take_word(line);
    std::uint64_t kib = 0;
    if (!parse(take_word(line), kib)) continue;
    const std::uint64_t bytes = kib * 1024;
    if (name == "MemTotal:") memory.total = bytes;
    if (name == "MemAvailable:") memory.available = bytes;
    if (name == "SwapTotal:") memory.swap_total = bytes;
    if (name == "SwapFree:") memory.swap_free = bytes;
  }
  return memory;
}

std::optional<process_state> parse_process_stat(std::string_view text) {
  const auto open = text.find('(');
  const auto close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;
  process_state state;
  state.name = text.substr(open + 1, close - open - 1);
  std::string_view rest = text.substr(close + 1);
  std::string_view word;
  for (int field = 3; field <= 24; ++field) word = take_word(rest);  // 24 is rss, see proc(5)
  std::int64_t pages = 0;  // of a kernel thread 0; of one that is ending it may be negative
  if (!parse(word, pages)) return std::nullopt;
  state.rss_pages = pages > 0 ? static_cast<std::uint64_t>(pages) : 0;
  return state;
}

std::vector<double> parse_numbers(std::string_view text, std::size_t count) {
  std::vector<double> numbers(count, 0.0);
  for (double& number : numbers) parse(take_word(text), number);
  return numbers;
}

std::vector<pid_t> list_processes(const std::string& proc) {
  std::vector<pid_t> processes;
  std::error_code failed;
  for (std::filesystem::directory_iterator at(proc, failed), end; !failed && at != end;
       at.increment(failed)) {
    pid_t pid = 0;
    if (parse(at->path().filename().native(), pid) && pid > 0) processes.push_back(pid);
  }
  return processes;
}

}  // namespace curfew_dashboard
