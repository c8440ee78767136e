// One thread moves the bytes of all connections. Its round: under the lock, each connection is advanced as far as it
// goes without waiting; without the lock, poll() waits for the next descriptor or point in time.
//
//   1. `mutex` guards everything but the descriptors that live as long as the proxy. It is the only lock.
//   2. Only the thread reads, writes and closes descriptors of connections, under the lock. So what set() has stored
//      holds for each byte that passes after it.
//   3. refuse() shuts the listener down before it closes it: poll() may still hold it, and it would go on listening.
//   4. `reserved` is bound to the port and never listens: so the port stays ours while it refuses.
//
// A connection:
//
//   accepted ─► (upstream is connected) ─► passing ──both directions ended, or a reset──► over
//                                             └─close_after─► closing ──both sides ended──► over
#include <curfew/testing/fault_proxy.hpp>

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <limits>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace curfew::testing {

namespace {

using steady = std::chrono::steady_clock;
using time_point = steady::time_point;

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();
constexpr std::size_t read_size = 64 * 1024;
// How often to look whether the kernel has sent what it was given: nothing tells.
constexpr std::chrono::microseconds look_again{200};

/// Owns a descriptor.
class descriptor {
 public:
  descriptor() = default;
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() { close(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  void close() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

[[noreturn]] void fail(const char* doing) {
  throw std::system_error(errno, std::generic_category(), std::string("fault_proxy: ") + doing);
}

descriptor make_socket() {
  descriptor made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made) fail("socket");
  return made;
}

sockaddr_in loopback(std::uint16_t port) noexcept {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

const sockaddr* generic(const sockaddr_in& address) noexcept {
  return reinterpret_cast<const sockaddr*>(&address);
}

/// A socket that is bound to a port; several may be, as long as one of them at most listens.
descriptor bound_to(std::uint16_t port) {
  descriptor made = make_socket();
  const int yes = 1;
  ::setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const sockaddr_in address = loopback(port);
  if (::bind(made.get(), generic(address), sizeof address) != 0) fail("bind");
  return made;
}

std::uint16_t port_of(const descriptor& socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) fail("getsockname");
  return ntohs(address.sin_port);
}

/// Each write becomes a segment.
void send_at_once(const descriptor& socket) noexcept {
  const int yes = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

bool would_block(int code) noexcept { return code == EAGAIN || code == EWOULDBLOCK || code == EINTR; }

/// Has the kernel sent all that the socket was given?
bool all_sent(const descriptor& socket) noexcept {
  int unsent = 0;
  return !socket || ::ioctl(socket.get(), SIOCOUTQNSD, &unsent) != 0 || unsent == 0;
}

void close_with_reset(descriptor& socket) noexcept {
  if (!socket) return;
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  socket.close();
}

/// One end of a connection: the client's or the server's.
struct side {
  descriptor socket;
  bool connected = false;
  bool ready = false;       // poll() has said that there is something to read
  bool blocked = false;     // the last write found no room
  bool peer_ended = false;  // poll() has said that no more will come behind what there is
  bool fin_read = false;
  bool fin_sent = false;
};

/// Bytes from one side to the other.
struct direction {
  std::string held;  // read, not yet written
  std::size_t passed = 0;
  time_point since;  // when the last piece passed, or `held` was read, whichever is later
};

struct connection {
  side client;
  side server;
  direction to_server;
  direction to_client;
  proxy_connects connects{};
  bool closing = false;
  bool over = false;
};

/// What the proxy has seen, of all connections together.
struct counts {
  std::size_t accepted = 0;
  std::size_t open = 0;
  std::size_t to_server = 0;  // bytes
  std::size_t to_client = 0;
};

}  // namespace

class fault_proxy::impl {
 public:
  impl(std::uint16_t server, const fault_options& options)
      : server_(server),
        reserved_(bound_to(0)),
        port_(port_of(reserved_)),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        options_(options) {
    if (!wake_) fail("eventfd");
    listen();
    thread_ = std::thread([this] {
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, nullptr);  // signals are for the program's own threads
      run();
    });
  }
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
  ~impl() {
    {
      const std::lock_guard guard(mutex_);
      stopping_ = true;
    }
    wake();
    thread_.join();
    for (connection& c : connections_) reset(c);
  }

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

  void set(const fault_options& options) {
    {
      const std::lock_guard guard(mutex_);
      options_ = options;
    }
    wake();
  }
  [[nodiscard]] fault_options options() const {
    const std::lock_guard guard(mutex_);
    return options_;
  }

  void refuse() noexcept {
    const std::lock_guard guard(mutex_);
    if (!listener_) return;
    ::shutdown(listener_.get(), SHUT_RDWR);
    listener_.close();
  }
  void accept() {
    {
      const std::lock_guard guard(mutex_);
      if (!listener_) listen();
    }
    wake();
  }

  [[nodiscard]] counts count() const {
    const std::lock_guard guard(mutex_);
    return counts_;
  }
  template <class Holds>
  [[nodiscard]] bool wait(faults::duration limit, Holds holds) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return holds(counts_); });
  }

 private:
  void listen() {
    descriptor made = bound_to(port_);
    if (::listen(made.get(), SOMAXCONN) != 0) fail("listen");
    listener_ = std::move(made);
  }

  void wake() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);  // a full one wakes too
  }

  void run() {
    std::unique_lock lock(mutex_);
    std::vector<pollfd> polled;
    std::vector<side*> sides;  // of polled, behind the first two
    while (!stopping_) {
      now_ = steady::now();
      next_ = time_point::max();
      for (connection& c : connections_) advance(c);
      std::erase_if(connections_, [this](const connection& c) {
        if (c.over) --counts_.open;
        return c.over;
      });
      changed_.notify_all();

      polled.assign({{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                     {.fd = now_ < accept_from_ ? -1 : listener_.get(), .events = POLLIN, .revents = 0}});
      if (now_ < accept_from_) next_ = std::min(next_, accept_from_);
      sides.clear();
      for (connection& c : connections_) {
        watch(c, c.client, c.to_server, options_.to_server(), c.to_client, polled, sides);
        watch(c, c.server, c.to_client, options_.to_client(), c.to_server, polled, sides);
      }
      lock.unlock();
      wait_for_events(polled);
      lock.lock();

      std::uint64_t wakes = 0;
      [[maybe_unused]] const auto woken = ::read(wake_.get(), &wakes, sizeof wakes);
      for (std::size_t i = 0; i < sides.size(); ++i) take_events(*sides[i], polled[i + 2].revents);
      if (polled[1].revents != 0 && listener_) accept_all();
    }
  }

  void wait_for_events(std::vector<pollfd>& polled) const noexcept {
    timespec limit{};
    if (next_ != time_point::max()) {
      const auto left = std::max(steady::duration(), next_ - steady::now());
      limit.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
      limit.tv_nsec = (left % std::chrono::seconds(1)).count();
    }
    if (::ppoll(polled.data(), polled.size(), next_ != time_point::max() ? &limit : nullptr, nullptr) > 0)
      return;
    for (pollfd& p : polled) p.revents = 0;
  }

  static void take_events(side& s, short events) noexcept {
    if ((events & POLLOUT) != 0) s.blocked = false;
    if ((events & (POLLIN | POLLERR)) != 0) s.ready = true;
    if ((events & (POLLRDHUP | POLLHUP)) != 0) s.ready = s.peer_ended = true;
  }

  void accept_all() {
    for (;;) {
      descriptor made(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!made) {
        // No descriptor left, for one: the listener stays ready meanwhile.
        if (!would_block(errno)) accept_from_ = steady::now() + std::chrono::milliseconds(10);
        return;
      }
      send_at_once(made);
      connection& c = connections_.emplace_back();
      c.client.socket = std::move(made);
      c.client.connected = true;
      c.connects = options_.connects();
      ++counts_.accepted;
      ++counts_.open;
    }
  }

  /// Does all that can be done for a connection now; leaves in next_ when to come again.
  void advance(connection& c) {
    if (failed(c.client) || failed(c.server)) return reset(c);
    if (!c.closing) apply_ends(c);
    if (c.over) return;
    if (c.closing) return finish_closing(c);
    const bool first = c.connects == proxy_connects::at_first_byte && !c.to_server.held.empty();
    if (!c.server.socket && (c.connects == proxy_connects::at_once || first)) connect(c);
    pass(c, c.client, c.server, c.to_server, options_.to_server(), counts_.to_server);
    if (!c.over && c.server.socket) {
      pass(c, c.server, c.client, c.to_client, options_.to_client(), counts_.to_client);
    }
    if (c.over) return;
    if (c.connects == proxy_connects::at_first_byte && !c.server.socket && !c.to_server.held.empty()) {
      next_ = now_;  // its first bytes have come
    }
    apply_ends(c);
    if (!c.over && !c.closing && is_over(c)) {
      c.over = true;
      c.client.socket.close();
      c.server.socket.close();
    }
  }

  /// Reads the error that a socket has, such as a reset, or that of a connect.
  static bool failed(const side& s) noexcept {
    int code = 0;
    socklen_t size = sizeof code;
    return s.socket && ::getsockopt(s.socket.get(), SOL_SOCKET, SO_ERROR, &code, &size) == 0 && code != 0;
  }

  static void reset(connection& c) noexcept {
    close_with_reset(c.client.socket);
    close_with_reset(c.server.socket);
    c.over = true;
  }

  /// The ends that a direction's counts ask for.
  void apply_ends(connection& c) {
    const auto reached = [](const direction& d, std::optional<std::size_t> limit, const faults& f) {
      return limit && d.passed >= *limit && (!f.stop_after() || *f.stop_after() >= *limit);
    };
    const auto apply = [&](const direction& d, const faults& f, const side& to) {
      const bool resets = reached(d, f.reset_after(), f);
      if (!resets && !reached(d, f.close_after(), f)) return;
      if (!all_sent(to.socket)) {  // a reset would take it back
        next_ = std::min<time_point>(next_, now_ + look_again);
        return;
      }
      if (resets && (!f.close_after() || *f.close_after() >= *f.reset_after())) return reset(c);
      c.closing = true;
    };
    apply(c.to_server, options_.to_server(), c.server);
    if (!c.over) apply(c.to_client, options_.to_client(), c.client);
    if (c.closing && !c.over) next_ = now_;
  }

  void finish_closing(connection& c) noexcept {
    for (side* s : {&c.client, &c.server}) {
      if (!s->socket) continue;
      if (!s->connected) {
        s->socket.close();
        continue;
      }
      send_end(*s);
      std::array<char, 4096> thrown_away;
      for (;;) {
        const ssize_t n = ::recv(s->socket.get(), thrown_away.data(), thrown_away.size(), 0);
        if (n > 0) continue;
        s->ready = false;
        if (n == 0 || !would_block(errno)) s->socket.close();
        break;
      }
    }
    c.over = !c.client.socket && !c.server.socket;
  }

  static void send_end(side& s) noexcept {
    if (!std::exchange(s.fin_sent, true)) ::shutdown(s.socket.get(), SHUT_WR);
  }

  void connect(connection& c) {
    c.server.socket = descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!c.server.socket) return reset(c);
    send_at_once(c.server.socket);
    const sockaddr_in address = loopback(server_);
    const int failed = ::connect(c.server.socket.get(), generic(address), sizeof address);
    if (failed != 0 && errno != EINPROGRESS) return reset(c);
    c.server.blocked = failed != 0;
    c.server.connected = failed == 0;
  }

  /// How many bytes a direction may carry.
  static std::size_t limit_of(const faults& f) noexcept {
    return std::min({f.stop_after().value_or(unlimited), f.close_after().value_or(unlimited),
                     f.reset_after().value_or(unlimited)});
  }

  /// How many bytes may be read now.
  static std::size_t wanted(const connection& c, const side& from, const direction& d,
                            const faults& f) noexcept {
    if (c.closing) return read_size;
    if (!from.connected || from.fin_read || !d.held.empty()) return 0;
    const std::size_t limit = limit_of(f);
    if (limit == unlimited || limit > d.passed) return std::min(read_size, limit - d.passed);
    return 0;
  }

  /// Reads from one side and writes to the other.
  void pass(connection& c, side& from, side& to, direction& d, const faults& f, std::size_t& total) {
    if (c.over) return;
    if (!to.connected && to.socket && !to.blocked) to.connected = true;  // failed() has found no error
    write(c, to, d, f, total);
    if (c.over || !from.socket) return;
    if (from.ready && wanted(c, from, d, f) > 0) {
      read(c, from, d, f, now_);
      next_ = now_;  // one piece a round, so that others have theirs
    }
    // An end passes behind the bytes, but not through a black hole.
    if (c.over || !from.fin_read || !d.held.empty() || d.passed >= limit_of(f)) return;
    if (to.connected) send_end(to);
    if (!to.socket) send_end(from);  // a client that never was connected to the server
  }

  static void read(connection& c, side& from, direction& d, const faults& f, time_point now) {
    std::size_t want = wanted(c, from, d, f);
    if (f.split() > 0)
      want = std::min(want, std::max(f.split(), read_size / 16));  // each piece moves what is left
    d.held.resize(want);
    const ssize_t n = ::recv(from.socket.get(), d.held.data(), want, 0);
    const int code = errno;
    d.held.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    if (n > 0) {
      d.since = now;
      return;
    }
    from.ready = false;
    if (n == 0) {
      from.fin_read = from.peer_ended = true;
    } else if (!would_block(code)) {
      reset(c);
    }
  }

  void write(connection& c, side& to, direction& d, const faults& f, std::size_t& total) {
    const bool nowhere = c.connects == proxy_connects::never;
    while (!d.held.empty() && (nowhere || (to.connected && !to.blocked))) {
      const std::size_t limit = limit_of(f);
      if (d.passed >= limit) return;
      if (f.delay().count() > 0 && now_ < d.since + f.delay()) {
        next_ = std::min<time_point>(next_, d.since + f.delay());
        return;
      }
      if (f.split() > 0 && !all_sent(to.socket)) {  // or the kernel would put two pieces into one segment
        next_ = std::min<time_point>(next_, now_ + look_again);
        return;
      }
      std::size_t size = std::min(d.held.size(), limit - d.passed);
      if (f.split() > 0) size = std::min(size, f.split());
      const ssize_t n =
          nowhere ? static_cast<ssize_t>(size) : ::send(to.socket.get(), d.held.data(), size, MSG_NOSIGNAL);
      if (n < 0) {
        if (!would_block(errno)) return reset(c);
        to.blocked = true;
        return;
      }
      d.held.erase(0, static_cast<std::size_t>(n));
      d.passed += static_cast<std::size_t>(n);
      total += static_cast<std::size_t>(n);
      d.since = now_;
    }
  }

  /// Has each direction ended: its end passed, or stays behind a black hole?
  [[nodiscard]] bool is_over(const connection& c) const noexcept {
    const auto ended = [](const side& from, const side& to, const direction& d, const faults& f) {
      return to.fin_sent || (from.peer_ended && d.passed >= limit_of(f));
    };
    if (!c.server.socket)
      return c.client.fin_sent || ended(c.client, c.server, c.to_server, options_.to_server());
    return ended(c.client, c.server, c.to_server, options_.to_server()) &&
           ended(c.server, c.client, c.to_client, options_.to_client());
  }

  /// What poll() has to look for at one side. \param in, out  The directions that come from it and go to it.
  static void watch(const connection& c, side& s, const direction& in, const faults& f, const direction& out,
                    std::vector<pollfd>& polled, std::vector<side*>& sides) {
    if (!s.socket) return;
    short events = 0;
    if (!s.ready && wanted(c, s, in, f) > 0) events |= POLLIN;
    if (!s.peer_ended) events |= POLLRDHUP;
    if (s.blocked && (!out.held.empty() || !s.connected)) events |= POLLOUT;
    if (events == 0 && s.peer_ended && s.fin_sent) return;  // poll() would say so again and again
    polled.push_back({.fd = s.socket.get(), .events = events, .revents = 0});
    sides.push_back(&s);
  }

  const std::uint16_t server_;
  const descriptor reserved_;
  const std::uint16_t port_;
  const descriptor wake_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  counts counts_;                      // this and the next five are guarded by mutex_
  fault_options options_;              //
  descriptor listener_;                //
  std::list<connection> connections_;  //
  time_point accept_from_{};           //
  bool stopping_ = false;              //

  time_point now_;   // of the round; the thread's own
  time_point next_;  // when the next round is due at the latest; the thread's own
  std::thread thread_;
};

fault_proxy::fault_proxy(std::uint16_t server, const fault_options& options)
    : impl_(std::make_unique<impl>(server, options)) {}

fault_proxy::~fault_proxy() = default;

std::uint16_t fault_proxy::port() const noexcept { return impl_->port(); }
std::string fault_proxy::address() const { return "127.0.0.1:" + std::to_string(port()); }

void fault_proxy::set(const fault_options& options) { impl_->set(options); }
fault_options fault_proxy::options() const { return impl_->options(); }
void fault_proxy::refuse() noexcept { impl_->refuse(); }
void fault_proxy::accept() { impl_->accept(); }

std::size_t fault_proxy::accepted() const { return impl_->count().accepted; }
std::size_t fault_proxy::open() const { return impl_->count().open; }
std::size_t fault_proxy::bytes_to_server() const { return impl_->count().to_server; }
std::size_t fault_proxy::bytes_to_client() const { return impl_->count().to_client; }

bool fault_proxy::wait_accepted(std::size_t count, faults::duration limit) const {
  return impl_->wait(limit, [&](const counts& seen) { return seen.accepted >= count; });
}
bool fault_proxy::wait_bytes_to_server(std::size_t count, faults::duration limit) const {
  return impl_->wait(limit, [&](const counts& seen) { return seen.to_server >= count; });
}
bool fault_proxy::wait_bytes_to_client(std::size_t count, faults::duration limit) const {
  return impl_->wait(limit, [&](const counts& seen) { return seen.to_client >= count; });
}
bool fault_proxy::wait_ended(faults::duration limit) const {
  return impl_->wait(limit, [](const counts& seen) { return seen.open == 0; });
}

}  // namespace curfew::testing
