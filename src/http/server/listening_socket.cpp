#include "http/server/listening_socket.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <curfew/http/errc.hpp>
#include <filesystem>
#include <string_view>
#include <thread>
#include <utility>

#include "http/message/syntax.hpp"
#include "http/wire/silent_peer.hpp"
#include "http/wire/unix_address.hpp"

namespace curfew::http {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::string_view unix_prefix = "unix:";
constexpr std::string_view systemd_prefix = "systemd";

error bad_address(const std::string& address, std::string_view how) {
  return error(make_error_code(errc::bad_address),
               "listening on \"" + address + "\" (" + std::string(how) + ')');
}

error failed(const std::string& address, int code, std::string_view advice) {
  std::string doing = "listening on " + address;
  if (!advice.empty()) (doing += " (").append(advice) += ')';
  return error(std::error_code(code, std::system_category()), doing);
}

std::optional<tcp::endpoint> parse(std::string_view address) {
  const auto colon = address.rfind(':');
  if (colon == std::string_view::npos || address.find('\0') != std::string_view::npos) return std::nullopt;
  auto host = address.substr(0, colon);
  const auto port = parse_number<std::uint16_t>(address.substr(colon + 1));
  if (!port) return std::nullopt;
  const bool brackets = host.starts_with('[') && host.ends_with(']');
  if (brackets) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  boost::system::error_code bad;
  const auto ip = asio::ip::make_address(std::string(host), bad);
  if (bad || ip.is_v6() != brackets) return std::nullopt;
  return tcp::endpoint(ip, *port);
}

std::string host_text(const asio::ip::address& ip) {
  return ip.is_v6() ? '[' + ip.to_string() + ']' : ip.to_string();
}

std::string_view tcp_advice(int code) {
  switch (code) {
    case EADDRINUSE:
      return "another program listens there: stop it, or choose another port; port 0 takes a free one";
    case EACCES:
      return "ports below 1024 need a privilege";
    case EADDRNOTAVAIL:
      return "this machine does not have that address";
    default:
      return {};
  }
}

std::string_view unix_advice(int code) {
  switch (code) {
    case EADDRINUSE:
      return "another program listens there: stop it, or choose another path";
    case EACCES:
      return "this user may not write to the directory";
    case ENOENT:
      return "the directory does not exist: make it";
    case ENOTDIR:
      return "a part of the path is no directory";
    default:
      return {};
  }
}

/// An address of the kernel's, of any family.
struct any_address {
  sockaddr_storage bytes{};
  socklen_t size = sizeof bytes;

  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&bytes); }
  [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&bytes); }
};

descriptor new_socket(int family) {
  return descriptor(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/// Held while the file of a socket is looked at, replaced and listened on: of two servers that start at once, neither
/// takes the other's new socket, which does not listen yet, for a dead one. Another program may hold such a lock for
/// long; then it is done without.
class directory_lock {
 public:
  explicit directory_lock(const std::filesystem::path& of)
      : directory_(::open(of.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    constexpr int tries = 200;
    for (int i = 0; directory_.is_open() && i < tries; ++i) {
      if (::flock(directory_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
  descriptor directory_;
};

enum class found { nothing, dead_socket, living_socket, other_file };

found look_at(const std::string& path) {
  struct stat what{};
  if (::lstat(path.c_str(), &what) != 0) return found::nothing;
  if (!S_ISSOCK(what.st_mode)) return found::other_file;
  const descriptor probe = new_socket(AF_UNIX);
  const auto there = unix_address::of(path);
  const bool refused =
      there && ::connect(probe.get(), there->get(), there->size) != 0 && errno == ECONNREFUSED;
  return refused ? found::dead_socket : found::living_socket;
}

}  // namespace

result<std::vector<listening_socket>> listening_socket::open(const server_options::listener& where,
                                                             passed_sockets& systemd) {
  const std::string_view address = where.address;
  std::vector<listening_socket> made;
  if (address == systemd_prefix || address.starts_with("systemd:")) {
    const auto name = address.substr(std::min(address.size(), systemd_prefix.size() + 1));
    auto taken = systemd.take(name);
    if (!taken) return taken.error();
    for (auto& socket : *taken) {
      auto& one = made.emplace_back(listening_socket(std::move(socket)));
      one.passed_ = true;
      one.read_name();
    }
    return made;
  }
  auto one =
      address.starts_with(unix_prefix) ? open_unix(where.address, where.options) : open_tcp(where.address);
  if (!one) return one.error();
  made.push_back(std::move(*one));
  return made;
}

result<listening_socket> listening_socket::open_tcp(const std::string& address) {
  const auto where = parse(address);
  if (!where) {
    return bad_address(
        address,
        "write it as 127.0.0.1:8080 or [::1]:8080; 0.0.0.0:8080 and [::]:8080 are for all interfaces; "
        "unix:/path is a Unix socket");
  }
  listening_socket made(new_socket(where->protocol().family()));
  const int fd = made.get();
  const auto fail = [&] {
    const int code = errno;
    return failed(address, code, tcp_advice(code));
  };
  if (fd < 0) return fail();
  const int yes = 1;
  // Connections of a predecessor may linger on the address.
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  // So that 0.0.0.0 and [::] are two.
  if (where->address().is_v6()) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  if (::bind(fd, where->data(), static_cast<socklen_t>(where->size())) != 0) return fail();
  if (::listen(fd, SOMAXCONN) != 0) return fail();
  made.read_name();
  return made;
}

result<listening_socket> listening_socket::open_unix(const std::string& address, const listen_options& how) {
  const std::string path = address.substr(unix_prefix.size());
  const bool abstract = path.starts_with('@');
  const std::size_t most = unix_address::longest(path);
  if (path.size() <= (abstract ? 1U : 0U) || path.find('\0') != std::string::npos) {
    return bad_address(address, "write it as unix:/run/app.sock, or unix:@app for an abstract name");
  }
  if (path.size() > most) {
    return bad_address(address, "the path has " + std::to_string(path.size()) +
                                    " bytes, and a Unix socket's at most " + std::to_string(most) +
                                    ": choose a shorter one");
  }
  listening_socket made(new_socket(AF_UNIX));
  const auto fail = [&](int code) { return failed(address, code, unix_advice(code)); };
  if (!made.socket_.is_open()) return fail(errno);
  const auto there = unix_address::of(path);
  if (!there) return fail(EINVAL);
  made.address_ = address;
  if (abstract) {
    if (::bind(made.get(), there->get(), there->size) != 0) return fail(errno);
    if (::listen(made.get(), SOMAXCONN) != 0) return fail(errno);
    return made;
  }

  std::error_code none;
  const auto absolute = std::filesystem::absolute(path, none);  // the program may change its directory
  const directory_lock lock(absolute);
  switch (look_at(path)) {
    case found::nothing:
      break;
    case found::dead_socket:
      if (::unlink(path.c_str()) != 0) return fail(errno);
      break;
    case found::living_socket:
      return fail(EADDRINUSE);
    case found::other_file:
      return failed(address, EADDRINUSE,
                    "a file that is no socket is there: remove it, or choose another path");
  }
  // Before the file is there it gets no more than it is to have; what the umask takes away is added below.
  if (how.permissions()) ::fchmod(made.get(), *how.permissions());
  if (::bind(made.get(), there->get(), there->size) != 0) return fail(errno);
  struct stat what{};
  if (::lstat(path.c_str(), &what) == 0) made.file_ = file{absolute, what.st_dev, what.st_ino};
  if (how.permissions() && ::chmod(path.c_str(), *how.permissions()) != 0) return fail(errno);
  if (::listen(made.get(), SOMAXCONN) != 0) return fail(errno);
  return made;
}

/// Says what the kernel says: of a port 0 the one that it took, of a socket that systemd passed everything.
void listening_socket::read_name() {
  any_address taken;
  if (::getsockname(get(), taken.get(), &taken.size) != 0) return;
  if (taken.bytes.ss_family == AF_UNIX) {
    sockaddr_un name{};
    std::memcpy(&name, &taken.bytes, sizeof name);
    const auto length = std::min<std::size_t>(taken.size, sizeof name) - offsetof(sockaddr_un, sun_path);
    std::string path(name.sun_path, length);
    if (!path.empty() && path.front() == '\0') {
      path.front() = '@';
    } else {
      path.resize(std::min(path.find('\0'), path.size()));
    }
    address_ = std::string(unix_prefix) + path;
    return;
  }
  tcp::endpoint there;
  std::memcpy(there.data(), &taken.bytes, std::min<std::size_t>(taken.size, there.capacity()));
  there.resize(taken.size);
  const auto ip = there.address();
  port_ = there.port();
  const std::string port = ':' + std::to_string(port_);
  address_ = host_text(ip) + port;
  const std::string host = !ip.is_unspecified() ? host_text(ip) : ip.is_v6() ? "[::1]" : "127.0.0.1";
  url_ = "http://" + host + port;
  const int yes = 1;
  // Inherited by the connections: each write is a whole message.
  ::setsockopt(get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

void listening_socket::ends_silent_after(clock::duration d) const noexcept {
  if (!is_unix()) http::ends_silent_after(get(), d);
}

void listening_socket::close() noexcept {
  if (!socket_.is_open()) return;
  if (file_) {
    struct stat what{};
    const bool mine = ::lstat(file_->path.c_str(), &what) == 0 && what.st_dev == file_->device &&
                      what.st_ino == file_->inode;  // not that of a successor
    if (mine) ::unlink(file_->path.c_str());
  }
  // A child process between fork and exec may hold the socket too: closing alone would leave it listening.
  if (!passed_) ::shutdown(socket_.get(), SHUT_RDWR);
  socket_.close();
}

}  // namespace curfew::http
