#pragma once

#include <signal.h>

#include <curfew/inspect/tasks.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::inspect {

/// SIGUSR1 as a descriptor that becomes readable, while this lives. One at a time in a process.
class usr1_descriptor {
 public:
  /// Throws: std::system_error; device_or_resource_busy if there is one already.
  usr1_descriptor();
  usr1_descriptor(const usr1_descriptor&) = delete;
  usr1_descriptor& operator=(const usr1_descriptor&) = delete;
  /// Puts back what SIGUSR1 did before.
  ~usr1_descriptor();

  [[nodiscard]] int get() const noexcept;

 private:
  struct sigaction before_{};
};

/// The open tasks as text, the most urgent first, up to a thousand.
[[nodiscard]] std::string tasks_as_text();
/// Writes that to standard error.
void dump_tasks();

/// "curfew: console: <what>" to standard error.
void write_error(std::string_view what) noexcept;

/// With control characters and malformed UTF-8 spelled out, so that a name can neither end its line nor steer a terminal.
[[nodiscard]] std::string spelled(std::string_view bytes);

}  // namespace curfew::inspect
