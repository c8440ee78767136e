#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace curfew::tests {

/// Waits until each other thread of the process sleeps. One that is starting holds locks of AddressSanitizer, which
/// stay locked in a forked child.
inline void let_other_threads_fall_asleep() {
  const auto all_sleep = [] {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      if (task.path().filename() == std::to_string(::gettid())) continue;
      std::ifstream file(task.path() / "stat");
      std::string line;
      std::getline(file, line);  // of one that has ended: nothing
      const auto name_end = line.rfind(") ");
      if (name_end != std::string::npos && line[name_end + 2] != 'S') return false;
    }
    return true;
  };
  while (!all_sleep()) std::this_thread::yield();
}

}  // namespace curfew::tests
