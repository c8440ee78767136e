#include "base/log.hpp"

#include <unistd.h>

#include <string>

namespace curfew_dashboard {

void log_line(std::string_view text) {
  // In one write: lines of the front and of its services do not mix.
  const std::string line = "curfew-dashboard: " + std::string(text) + '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (written <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace curfew_dashboard
