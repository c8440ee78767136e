#include "http/server/passed_sockets.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <curfew/http/errc.hpp>
#include <optional>
#include <utility>

#include "http/message/syntax.hpp"

namespace curfew::http {

namespace {

constexpr int first_of_systemd = 3;

std::optional<std::string> take_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  std::string copy = value;
  ::unsetenv(name);
  return copy;
}

std::optional<int> socket_option(int fd, int which) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, which, &value, &size) != 0) return std::nullopt;
  return value;
}

/// Why a server cannot accept from it; empty: it can.
std::string_view defect(int fd) {
  if (socket_option(fd, SO_TYPE) != SOCK_STREAM) return "is no stream socket: its unit needs ListenStream=";
  if (socket_option(fd, SO_ACCEPTCONN) != 1) return "does not listen: its unit needs Accept=no";
  const auto family = socket_option(fd, SO_DOMAIN);
  if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
    return "is neither of TCP nor a Unix socket";
  return {};
}

void add(std::string& list, const std::string& name) {
  if (!list.empty()) list += ", ";
  list += '"' + name + '"';
}

}  // namespace

passed_sockets& passed_sockets::of_process() {
  static passed_sockets all(first_of_systemd);
  return all;
}

void passed_sockets::read_environment() {
  const auto pid = take_variable("LISTEN_PID");
  const auto count = take_variable("LISTEN_FDS");
  const auto names = take_variable("LISTEN_FDNAMES");
  const unsigned how_many = count ? parse_number<unsigned>(*count).value_or(0) : 0;
  if (!pid || !count) {
    absent_ =
        "systemd passed no socket: start the program by its .socket unit, or by systemd-socket-activate";
  } else if (parse_number<unsigned>(*pid) != static_cast<unsigned>(::getpid())) {
    absent_ = "systemd passed its sockets to process " + *pid + ", and this is " +
              std::to_string(::getpid()) + ": what starts the program has to exec it";
  } else if (how_many < 1 || how_many > 10'000) {
    absent_ = "LISTEN_FDS is \"" + *count + "\", which is no number of sockets";
  }
  if (!absent_.empty()) return;
  std::string_view rest = names ? *names : std::string_view();
  for (int fd = first_; fd < first_ + static_cast<int>(how_many); ++fd) {
    const auto name = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0) {
      sockets_.clear();
      absent_ = "descriptor " + std::to_string(fd) + ", which LISTEN_FDS counts, is not open";
      return;
    }
    ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
    sockets_.push_back({name.empty() ? "unknown" : std::string(name), descriptor(fd)});
  }
}

result<std::vector<descriptor>> passed_sockets::take(std::string_view name) {
  const std::lock_guard guard(mutex_);
  if (!std::exchange(read_, true)) read_environment();
  const auto fail = [&](const std::string& why) {
    const std::string address = name.empty() ? "systemd" : "systemd:" + std::string(name);
    return std::unexpected(
        error(make_error_code(errc::bad_address), "listening on " + address + " (" + why + ')'));
  };
  if (!absent_.empty()) return fail(absent_);
  std::string known;
  std::size_t found = 0;
  for (const auto& p : sockets_) {
    add(known, p.name);
    if (!name.empty() && p.name != name) continue;
    if (!p.socket.is_open()) continue;
    ++found;
    if (const auto why = defect(p.socket.get()); !why.empty()) {
      return fail("the socket \"" + p.name + "\" that systemd passed " + std::string(why));
    }
  }
  if (found == 0) {
    const bool taken =
        name.empty() || std::ranges::any_of(sockets_, [&](const passed& p) { return p.name == name; });
    if (taken) return fail("a server of this process has taken it already");
    return fail("systemd passed " + known +
                ": choose one of them, or set FileDescriptorName= in the .socket unit");
  }
  std::vector<descriptor> all;
  for (auto& p : sockets_) {
    if (!p.socket.is_open() || (!name.empty() && p.name != name)) continue;
    ::fcntl(p.socket.get(), F_SETFL, ::fcntl(p.socket.get(), F_GETFL) | O_NONBLOCK);
    all.push_back(std::move(p.socket));
  }
  return all;
}

}  // namespace curfew::http
