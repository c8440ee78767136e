#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
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
// input, a line each, and answers with a line of numbers, one for each row; to "version" it answers with what
// it is.
namespace curfew::bench {

/// What the compiler must not compute in advance or leave out.
template <class T>
inline void keep(const T& value) noexcept {
  asm volatile("" : : "r,m"(value) : "memory");
}

/// The same pointer, but the compiler no longer knows where it points.
template <class T>
inline T* hidden(T* pointer) noexcept {
  asm volatile("" : "+r"(pointer) : : "memory");
  return pointer;
}

using numbers = std::vector<double>;

struct measurement {
  struct row {
    std::string what;
    std::string unit;
  };
  std::string name;                   ///< What the peer is asked for.
  std::vector<row> rows;              ///< One for each number of an answer.
  std::function<numbers()> ours;      ///< One round.
  std::function<numbers()> standard;  ///< The same with what the standard library has; may be empty.
  bool has_peer = true;
};

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
    for (double each = 0; answer >> each;) all.push_back(each);
    return all;
  }

 private:
  pid_t child_ = -1;
  FILE* in_ = nullptr;
  FILE* out_ = nullptr;
};

/// A set of measurements and the options of the program: [--rounds <n>] [--only <part of a name>] [--write
/// [<file>]].
class comparison {
 public:
  comparison(std::string title, int argc, char** argv) : title_(std::move(title)) {
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
    const char* given = std::getenv("CURFEW_BENCH_PEERS");
    peers_ = given != nullptr ? given : std::filesystem::path(argv[0]).parent_path() / "peers";
  }

  /// Runs all, prints the table, and writes it into the file if there is one.
  /// \param program  The peer's name in bench/peers.
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
      if (each.name.find(only_) != std::string::npos) all.push_back({&each, {}, {}, {}});
    }
    for (int round = 0; round != rounds_; ++round) {
      std::cerr << "round " << round + 1 << " of " << rounds_ << '\n';
      for (results& each : all) {
        each.ours.push_back(each.of->ours());
        if (each.of->standard) each.standard.push_back(each.of->standard());
        if (other && each.of->has_peer) each.theirs.push_back(other->measure(each.of->name));
      }
    }
    const std::string text = table(all, other_name);
    std::cout << text;
    if (!file_.empty()) write(text);
  }

 private:
  struct results {
    const measurement* of;
    std::vector<numbers> ours;
    std::vector<numbers> standard;
    std::vector<numbers> theirs;
  };

  static std::optional<double> median(const std::vector<numbers>& rounds, std::size_t row) {
    std::vector<double> values;
    for (const numbers& each : rounds) {
      if (row < each.size()) values.push_back(each[row]);
    }
    if (values.empty()) return std::nullopt;
    std::ranges::sort(values);
    return values[values.size() / 2];
  }

  static std::string with_unit(const std::optional<double>& value, const std::string& unit) {
    if (!value) return "";
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), *value < 10 ? "%.2f %s" : "%.0f %s", *value, unit.c_str());
    return text.data();
  }

  static std::string ratio(const std::optional<double>& theirs, const std::optional<double>& ours) {
    return theirs && ours ? with_unit(*theirs / *ours, "×") : "";
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
    std::ostringstream out;
    out << "Medians of " << rounds_ << " rounds in which the sides take turns. " << machine() << "; "
        << compiler() << "; " << other_name << ".\n\n"
        << "| what | curfew | standard library | ÷ curfew | " << other_name << " | ÷ curfew |\n"
        << "|---|---:|---:|---:|---:|---:|\n";
    for (const results& each : all) {
      for (std::size_t row = 0; row != each.of->rows.size(); ++row) {
        const auto ours = median(each.ours, row);
        const auto standard = median(each.standard, row);
        const auto theirs = median(each.theirs, row);
        const std::string& unit = each.of->rows[row].unit;
        out << "| " << each.of->rows[row].what << " | " << with_unit(ours, unit) << " | "
            << with_unit(standard, unit) << " | " << ratio(standard, ours) << " | " << with_unit(theirs, unit)
            << " | " << ratio(theirs, ours) << " |\n";
      }
    }
    return std::move(out).str();
  }

  /// Replaces this comparison's section of the file, or adds it.
  void write(const std::string& text) const {
    std::ifstream in(file_);
    std::string all{std::istreambuf_iterator<char>(in), {}};
    const std::string begin = "## " + title_ + "\n";
    const std::string section = begin + "\n" + text;
    if (const auto at = all.find(begin); at != std::string::npos) {
      const auto next = all.find("\n## ", at);
      all.replace(at, (next == std::string::npos ? all.size() : next) - at, section);
    } else {
      if (all.empty()) all = "# Performance\n";
      all += "\n" + section;
    }
    std::ofstream(file_) << all;
  }

  std::string title_;
  std::string only_;
  std::string file_;
  std::filesystem::path peers_;
  int rounds_ = 9;
};

}  // namespace curfew::bench
