#pragma once

#include "measure.hpp"

#include <fcntl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <limits>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

// Measures curfew beside what it is compared with, in one run: in every round each side takes its turn, so
// that whatever else the machine does meets all of them. The medians become one table.
//
// The other side in another language is a program in bench/peers. It reads the name of a measurement from its
// input, a line each, and answers with a line of numbers, one for each row, "-" where it has none; to
// "version" it answers with what it is.
namespace curfew::bench {

struct measurement {
  struct row {
    std::string what;
    std::string unit;  ///< "×" is a ratio already: none is made of it.
    std::string goal = {};
  };
  std::string name;                        ///< What the peer is asked for.
  std::vector<row> rows;                   ///< One for each number of an answer.
  std::function<numbers()> ours;           ///< One round.
  std::function<numbers()> standard = {};  ///< The same with what the standard library has; may be empty.
  std::function<numbers()> asio = {};      ///< The same with what Boost.Asio has; may be empty.
  bool has_peer = true;
};

/// Where a side has nothing to compare with in this row.
inline constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

/// The program of the other side, running.
class peer {
 public:
  explicit peer(const std::string& program) {
    std::array<int, 2> to{};
    std::array<int, 2> from{};
    if (pipe2(to.data(), O_CLOEXEC) != 0 || pipe2(from.data(), O_CLOEXEC) != 0)
      throw std::runtime_error("no pipe");
    child_ = fork();
    if (child_ == 0) {
      dup2(to[0], STDIN_FILENO);
      dup2(from[1], STDOUT_FILENO);
      execl(program.c_str(), program.c_str(), static_cast<char*>(nullptr));
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    in_ = fdopen(to[1], "w");
    out_ = fdopen(from[0], "r");
  }
  peer(const peer&) = delete;
  peer& operator=(const peer&) = delete;
  ~peer() {
    std::fclose(in_);
    std::fclose(out_);
    waitpid(child_, nullptr, 0);
  }

  std::string ask(const std::string& question) {
    std::fprintf(in_, "%s\n", question.c_str());
    std::fflush(in_);
    std::array<char, 512> line{};
    if (std::fgets(line.data(), line.size(), out_) == nullptr) throw std::runtime_error("the peer is gone");
    std::string answer = line.data();
    answer.erase(answer.find_last_not_of('\n') + 1);
    return answer;
  }

  numbers measure(const std::string& name) {
    std::istringstream answer(ask(name));
    numbers all;
    for (std::string each; answer >> each;) all.push_back(each == "-" ? no_number : std::stod(each));
    return all;
  }

 private:
  pid_t child_ = -1;
  FILE* in_ = nullptr;
  FILE* out_ = nullptr;
};

/// A set of measurements and the options of the program: [--rounds <n>] [--only <part of a name>]
/// [--write [<file>]].
class comparison {
 public:
  comparison(std::string title, int argc, char** argv) : title_(std::move(title)), began_at_(load()) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    for (std::size_t i = 0; i != arguments.size(); ++i) {
      const bool last = i + 1 == arguments.size();
      if (arguments[i] == "--rounds" && !last) {
        rounds_ = std::max(1, std::stoi(arguments[++i]));
      } else if (arguments[i] == "--only" && !last) {
        only_ = arguments[++i];
      } else if (arguments[i] == "--write") {
        file_ = last || arguments[i + 1].starts_with("--") ? "docs/performance.md" : arguments[++i];
      } else {
        throw std::invalid_argument("options: [--rounds <n>] [--only <part of a name>] [--write [<file>]]");
      }
    }
    if (!only_.empty() && !file_.empty()) throw std::invalid_argument("--write takes the whole table");
    const char* given = std::getenv("CURFEW_BENCH_PEERS");
    peers_ = given != nullptr ? given : std::filesystem::path(argv[0]).parent_path() / "peers";
  }

  /// Runs all, prints the table, and writes it into the file if there is one.
  /// \param program  The peer's name in bench/peers, and the name of the table in the file.
  void run(const std::vector<measurement>& measurements, const std::string& program) {
    std::optional<peer> other;
    std::string other_name = "peer";
    if (const auto path = peers_ / program; std::filesystem::exists(path)) {
      other.emplace(path.string());
      other_name = other->ask("version");
    } else {
      std::cerr << "no " << path << ": its column stays empty; ./dev bench builds it\n";
    }
    std::vector<results> all;
    for (const measurement& each : measurements) {
      if (each.name.find(only_) != std::string::npos) all.push_back({&each, {}});
    }
    for (int round = 0; round != rounds_; ++round) {
      std::cerr << "round " << round + 1 << " of " << rounds_ << '\n';
      for (results& each : all) {
        each.of_side[curfew].push_back(each.of->ours());
        if (each.of->standard) each.of_side[standard].push_back(each.of->standard());
        if (each.of->asio) each.of_side[asio].push_back(each.of->asio());
        if (other && each.of->has_peer) each.of_side[peer_program].push_back(other->measure(each.of->name));
      }
    }
    const std::string text = table(all, other_name);
    std::cout << text;
    if (!file_.empty()) write(text, program);
  }

 private:
  enum side : std::size_t { curfew, standard, asio, peer_program, sides };

  struct results {
    const measurement* of;
    std::array<std::vector<numbers>, sides> of_side;
  };

  static std::optional<double> median(const std::vector<numbers>& rounds, std::size_t row) {
    std::vector<double> values;
    for (const numbers& each : rounds) {
      if (row < each.size() && !std::isnan(each[row])) values.push_back(each[row]);
    }
    if (values.empty()) return std::nullopt;
    return percentile(std::move(values), 0.5);
  }

  static std::string with_unit(double value, const std::string& unit) {
    std::array<char, 64> text{};
    const bool small = value < 10 && value != std::floor(value);
    std::snprintf(text.data(), text.size(), small ? "%.2f%s%s" : "%.0f%s%s", value, unit.empty() ? "" : " ",
                  unit.c_str());
    return text.data();
  }

  static std::string cell(std::optional<double> value, std::optional<double> ours, const std::string& unit) {
    if (!value) return "";
    std::string text = with_unit(*value, unit);
    if (ours && *ours > 0 && unit != "×") text += " (" + with_unit(*value / *ours, "×") + ")";
    return text;
  }

  static std::string load() {
    std::ifstream file("/proc/loadavg");
    std::string last_minute = "unknown";
    file >> last_minute;
    return last_minute;
  }

  static std::string kernel() {
    utsname name{};
    uname(&name);
    return std::string(name.sysname) + " " + name.release;
  }

  static std::string machine() {
    std::ifstream info("/proc/cpuinfo");
    std::string model = "unknown processor";
    for (std::string line; std::getline(info, line);) {
      if (line.starts_with("model name")) {
        model = line.substr(line.find(':') + 2);
        break;
      }
    }
    return model + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores";
  }

  static std::string compiler() {
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "g++ " __VERSION__;
#endif
  }

  std::string table(const std::vector<results>& all, const std::string& other_name) const {
    const std::array<std::string, sides> names{"curfew", "standard library", "Boost.Asio", other_name};
    std::array<bool, sides> shown{true};
    for (const results& each : all) {
      for (std::size_t i = 0; i != sides; ++i) shown[i] = shown[i] || !each.of_side[i].empty();
    }
    std::ostringstream out;
    out << "Medians of " << rounds_ << " rounds in which the sides take turns; in brackets how many times "
        << names[curfew] << "'s figure it is. " << machine() << "; " << kernel() << "; " << compiler() << "; "
        << other_name << "; load average at the start: " << began_at_ << ".\n\n| what |";
    std::string rule = "|---|";
    for (std::size_t i = 0; i != sides; ++i) {
      if (!shown[i]) continue;
      out << " " << names[i] << " |";
      rule += "---:|";
    }
    out << " goal |\n" << rule << "---|\n";
    for (const results& each : all) {
      for (std::size_t row = 0; row != each.of->rows.size(); ++row) {
        const auto& [what, unit, goal] = each.of->rows[row];
        const auto ours = median(each.of_side[curfew], row);
        out << "| " << what << " | " << cell(ours, std::nullopt, unit) << " |";
        for (std::size_t i = standard; i != sides; ++i) {
          if (shown[i]) out << " " << cell(median(each.of_side[i], row), ours, unit) << " |";
        }
        out << " " << goal << " |\n";
      }
    }
    return std::move(out).str();
  }

  /// Replaces what stands between this comparison's two comments in the file, or adds a section with them.
  void write(const std::string& text, const std::string& name) const {
    std::ifstream in(file_);
    std::string all{std::istreambuf_iterator<char>(in), {}};
    const std::string begin = "<!-- " + name + ": begin -->\n";
    const std::string end = "<!-- " + name + ": end -->\n";
    const auto from = all.find(begin);
    const auto to = all.find(end, from == std::string::npos ? 0 : from);
    if ((from == std::string::npos) != (to == std::string::npos))
      throw std::runtime_error(file_ + ": one of \"" + begin + "\" and \"" + end + "\" is missing");
    if (from != std::string::npos) {
      all.replace(from, to - from, begin + text);
    } else {
      if (all.empty()) all = "# Performance\n";
      all += "\n## " + title_ + "\n\n" + begin + text + end;
    }
    std::ofstream(file_) << all;
  }

  std::string title_;
  std::string began_at_;  // the load
  std::string only_;
  std::string file_;
  std::filesystem::path peers_;
  int rounds_ = 9;
};

}  // namespace curfew::bench
