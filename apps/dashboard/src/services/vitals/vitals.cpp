#include "services/vitals/vitals.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <cmath>
#include <ctime>
#include <curfew/core/done.hpp>
#include <map>
#include <thread>
#include <tuple>
#include <utility>

#include "base/text.hpp"
#include "services/vitals/proc_files.hpp"

namespace curfew_dashboard {

namespace {

using std::chrono::nanoseconds;

constexpr std::size_t processes_shown = 8;

/// In nanoseconds, where /proc/<pid>/stat counts hundredths of a second: too coarse for so short a
/// measurement.
std::optional<nanoseconds> cpu_time_of(pid_t pid) {
  clockid_t clock = 0;
  timespec spent{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &spent) != 0) return std::nullopt;
  return std::chrono::seconds(spent.tv_sec) + nanoseconds(spent.tv_nsec);
}

std::string name_of_user(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
    return found->pw_name;
  return std::to_string(uid);
}

struct used_cpu {
  pid_t pid;
  double percent;
};

double rounded(double number) { return std::round(number * 10) / 10; }

std::string first_line(const std::optional<std::string>& text) {
  return text ? text->substr(0, text->find('\n')) : std::string();
}

class report_maker {
 public:
  report_maker(const curfew::context& ctx, const vitals_source& from) : ctx_(ctx), from_(from) {}

  std::expected<json::value, failure> make() {
    if (!read_small_file(from_.proc + "/meminfo")) {
      return std::unexpected(
          failure{"unavailable", "The vital signs cannot be read: there is no " + from_.proc + "/meminfo."});
    }
    std::vector<used_cpu> processes = measure();
    if (ctx_.err()) return std::unexpected(ended_failure(ctx_));
    json::object report = machine();
    report["process_count"] = processes.size();
    report["processes"] = busiest(std::move(processes));
    return report;
  }

 private:
  [[nodiscard]] std::string file(const char* name) const {
    return read_small_file(from_.proc + name).value_or("");
  }

  /// The CPU use of every process over the window.
  std::vector<used_cpu> measure() {
    std::map<pid_t, nanoseconds> before;
    for (const pid_t pid : list_processes(from_.proc)) {
      if (auto spent = from_.cpu_time(pid)) before[pid] = *spent;
    }
    const auto began = std::chrono::steady_clock::now();
    std::ignore = ctx_.done().wait_for(from_.window);
    const auto lasted = std::max<nanoseconds>(std::chrono::steady_clock::now() - began, nanoseconds(1));
    std::vector<used_cpu> used;
    for (const auto& [pid, then] : before) {
      if (ctx_.err()) break;
      if (auto spent = from_.cpu_time(pid)) {
        const auto share = static_cast<double>((*spent - then).count()) / static_cast<double>(lasted.count());
        used.push_back({pid, std::max(0.0, 100 * share)});
      }
    }
    return used;
  }

  [[nodiscard]] json::object machine() const {
    const memory_state memory = parse_meminfo(file("/meminfo"));
    json::object shown;
    shown["total"] = memory.total;
    shown["available"] = memory.available;
    shown["used"] = memory.total - std::min(memory.total, memory.available);
    shown["swap_total"] = memory.swap_total;
    shown["swap_free"] = memory.swap_free;

    json::object report;
    set_text(report, "hostname", first_line(read_small_file(from_.proc + "/sys/kernel/hostname")));
    set_text(report, "kernel",
             first_line(read_small_file(from_.proc + "/sys/kernel/ostype")) + " " +
                 first_line(read_small_file(from_.proc + "/sys/kernel/osrelease")));
    report["uptime_s"] = parse_numbers(file("/uptime"), 1).front();
    report["cores"] = std::thread::hardware_concurrency();
    json::array load;
    for (const double number : parse_numbers(file("/loadavg"), 3)) load.push_back(number);
    report["load"] = std::move(load);
    report["memory"] = std::move(shown);
    return report;
  }

  [[nodiscard]] json::array busiest(std::vector<used_cpu> processes) const {
    std::sort(processes.begin(), processes.end(), [](const auto& a, const auto& b) {
      return a.percent != b.percent ? a.percent > b.percent : a.pid < b.pid;
    });
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    json::array rows;
    for (const used_cpu& process : processes) {
      if (rows.size() == processes_shown) break;
      const std::string directory = from_.proc + "/" + std::to_string(process.pid);
      const auto text = read_small_file(directory + "/stat");
      const auto state = text ? parse_process_stat(*text) : std::nullopt;
      if (!state) continue;
      json::object row;
      row["pid"] = process.pid;
      set_text(row, "name", state->name);
      row["rss_bytes"] = state->rss_pages * page;
      row["cpu_percent"] = rounded(process.percent);
      struct stat about{};
      row["user"] = ::stat(directory.c_str(), &about) == 0 ? to_utf8(from_.user_name(about.st_uid)).text : "";
      rows.push_back(std::move(row));
    }
    return rows;
  }

  const curfew::context& ctx_;
  const vitals_source& from_;
};

}  // namespace

vitals_source::vitals_source() : cpu_time(cpu_time_of), user_name(name_of_user) {}

std::expected<json::value, failure> vitals_report(const curfew::context& ctx, const vitals_source& from) {
  return report_maker(ctx, from).make();
}

work_planner plan_vitals(vitals_source from) {
  return [from = std::move(from)](const http::request&) -> std::expected<heavy_work, refusal> {
    return heavy_work(
        [from](const curfew::context& ctx, const report_progress&) { return vitals_report(ctx, from); });
  };
}

}  // namespace curfew_dashboard
