#pragma once

#include <curfew/core/error.hpp>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "http/wire/descriptor.hpp"

namespace curfew::http {

/// The sockets that systemd passed to the process: those from descriptor 3 on, which LISTEN_FDS counts, LISTEN_FDNAMES
/// names and LISTEN_PID says are for this process (sd_listen_fds(3)).
///
/// Each is given out once: several listeners, and several servers, may share them by name.
/// Thread safety: any thread, as long as no other reads the environment during the first take().
class passed_sockets {
 public:
  /// \param first  The descriptor of the first.
  explicit passed_sockets(int first) noexcept : first_(first) {}

  static passed_sockets& of_process();

  /// Takes those of that name; "": all that are left. They listen, do not block and are closed by exec.
  /// Errors: errc::bad_address, with what is missing.
  result<std::vector<descriptor>> take(std::string_view name);

 private:
  struct passed {
    std::string name;
    descriptor socket;
  };

  void read_environment();

  const int first_;
  std::mutex mutex_;  // for what is below
  bool read_ = false;
  std::string absent_;  // why there is none
  std::vector<passed> sockets_;
};

}  // namespace curfew::http
