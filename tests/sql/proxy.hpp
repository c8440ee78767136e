#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "http/waiting.hpp"
#include "program.hpp"

namespace curfew::tests {

enum class direction : std::uint8_t { to_server, to_client };

/// What happens to one message of PostgreSQL's protocol, once it begins.
enum class fault : std::uint8_t {
  hold,        ///< Nothing passes from it on, neither bytes nor an end, until release().
  split,       ///< From it on bytes pass one by one.
  cut,         ///< The connection ends before it, on both sides.
  cut_within,  ///< After its first half.
  cut_behind,  ///< After its last byte.
  reset,       ///< As cut, but not in order: RST.
};

/// What happens to requests that cancel a statement.
enum class cancels : std::uint8_t {
  pass,
  hold,     ///< They wait for release().
  drop,     ///< Closed, as if the server had got them.
  silence,  ///< Neither passed, nor answered, nor closed.
};

/// A TCP proxy in front of a PostgreSQL server that knows where messages begin. One order at a time:
///
///     message_proxy between(server.port());
///     between.order(direction::to_client, 3, fault::hold);   // the third from now on, of all connections
///     // … a call …
///     ASSERT_TRUE(between.wait_for_order());
///     between.release();
///
/// A request to cancel is no message that counts; nor is the byte that answers a request for encryption.
/// Thread safety: any thread.
class message_proxy {
 public:
  explicit message_proxy(std::uint16_t server)
      : server_(server),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (wake_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    ::fcntl(port_.fd(), F_SETFL, O_NONBLOCK);
    thread_ = std::thread([this] { run(); });
  }
  message_proxy(const message_proxy&) = delete;
  message_proxy& operator=(const message_proxy&) = delete;
  ~message_proxy() {
    change([this] { over_ = true; });
    thread_.join();
    ::close(wake_);
  }

  [[nodiscard]] std::string url(std::string_view database = "postgres") const {
    return "postgresql://postgres@" + port_.address() + '/' + std::string(database);
  }

  /// The n-th message from now on, from 1, of all connections together.
  void order(direction which, std::size_t n, fault what) {
    change([&] {
      ordered_ = {which, n, what};
      seen_ = {};
      trace_.clear();
      done_ = false;
    });
  }
  void on_cancel(cancels what) {
    change([&] { cancels_ = what; });
  }
  /// Forgets the order, and lets pass what is held, requests to cancel, too. Connections that are split stay so.
  void release() {
    change([this] {
      ordered_ = {};
      cancels_ = cancels::pass;
      for (auto& each : all_) each.held_cancel = each.to_server.held = each.to_client.held = false;
    });
  }
  /// Ends all connections, on both sides.
  void cut_all() {
    change([this] {
      for (auto& each : all_) end(each);
    });
  }

  /// Whether the message of the order has come.
  [[nodiscard]] bool order_done() const {
    const std::lock_guard guard(mutex_);
    return done_;
  }
  [[nodiscard]] bool wait_for_order() const {
    return eventually([this] { return order_done(); });
  }
  /// Requests to cancel so far.
  [[nodiscard]] std::size_t cancel_requests() const {
    const std::lock_guard guard(mutex_);
    return cancel_requests_;
  }
  /// Connections that are open.
  [[nodiscard]] std::size_t connections() const {
    const std::lock_guard guard(mutex_);
    return all_.size();
  }
  /// The messages since the last order: ">P" to the server, "<1" to the client, ">*" without a type.
  [[nodiscard]] std::string trace() const {
    const std::lock_guard guard(mutex_);
    return trace_;
  }

 private:
  struct ordered {
    direction which = direction::to_server;
    std::size_t n = 0;  // 0: nothing
    fault what = fault::hold;
  };
  struct flow {
    int from = -1;
    int to = -1;
    std::string in;                     // the beginning of a message
    std::string out;                    // what has still to be sent
    std::size_t raw = 0;                // bytes to come that are no message
    bool typed = false;                 // messages begin with their type
    bool known = false;                 // the first one of `in` was counted
    std::optional<tests::fault> fault;  // what happens to it
    bool held = false;
    bool split = false;
    bool cut = false;    // once `out` is sent
    bool ended = false;  // there is nothing more to read
    bool end_sent = false;
  };
  struct connection {
    flow to_server;
    flow to_client;
    bool is_cancel = false;
    bool held_cancel = false;
    bool reset = false;
    bool over = false;
  };

  static constexpr std::uint32_t cancel_code = 80877102;
  static constexpr std::uint32_t tls_code = 80877103;
  static constexpr std::uint32_t gss_code = 80877104;

  void change(const std::function<void()>& what) {
    {
      const std::lock_guard guard(mutex_);
      what();
    }
    const std::uint64_t one = 1;
    static_cast<void>(::write(wake_, &one, sizeof one));
  }

  static std::uint32_t number_at(std::string_view bytes, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i != 4; ++i) value = value << 8U | static_cast<unsigned char>(bytes[at + i]);
    return value;
  }

  void run() {
    std::vector<pollfd> waits;
    while (true) {
      waits.clear();
      waits.push_back({wake_, POLLIN, 0});
      waits.push_back({port_.fd(), POLLIN, 0});
      {
        const std::lock_guard guard(mutex_);
        if (over_) {
          for (auto& each : all_) end(each);
          return;
        }
        for (auto each = all_.begin(); each != all_.end();) {
          pump(*each);
          if (each->over) {
            each = all_.erase(each);
          } else {
            add(waits, each->to_server);
            add(waits, each->to_client);
            ++each;
          }
        }
      }
      ::poll(waits.data(), waits.size(), -1);
      std::uint64_t count = 0;
      static_cast<void>(::read(wake_, &count, sizeof count));
      accept();
    }
  }
  static void add(std::vector<pollfd>& waits, const flow& of) {
    if (of.from >= 0 && !of.ended && !of.held && !of.cut) waits.push_back({of.from, POLLIN, 0});
    if (of.to >= 0 && !of.out.empty()) waits.push_back({of.to, POLLOUT, 0});
  }

  void accept() {
    const int fd = ::accept4(port_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    const std::lock_guard guard(mutex_);
    no_delay(fd);
    connection& made = all_.emplace_back();
    made.to_server.from = made.to_client.to = fd;
  }
  static void no_delay(int fd) {
    const int yes = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }
  void connect(connection& of) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(server_);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      ::close(fd);
      of.reset = true;
      end(of);
      return;
    }
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    no_delay(fd);
    of.to_server.to = of.to_client.from = fd;
    of.to_client.typed = true;
  }
  /// Closes both sides, once.
  static void end(connection& of) {
    if (std::exchange(of.over, true)) return;
    for (const int fd : {of.to_server.from, of.to_server.to}) {
      if (fd < 0) continue;
      if (of.reset) {
        const linger at_once{1, 0};
        ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      }
      ::close(fd);
    }
  }

  void pump(connection& of) {
    for (flow* each : {&of.to_server, &of.to_client}) {
      read(*each);
      while (!of.over && !each->held && !of.held_cancel && !each->cut && pass_one(of, *each)) {
      }
      if (of.over) return;
      send(*each);
      if (each->cut && each->out.empty()) return end(of);  // before an answer passes
    }
    if (of.to_server.end_sent && of.to_client.end_sent) end(of);
    if (of.to_server.to < 0 && of.to_server.ended && !of.to_server.held && !of.held_cancel) end(of);
  }
  static void read(flow& from) {
    if (from.from < 0 || from.ended || from.held || from.cut) return;
    std::array<char, 65536> bytes{};
    const ssize_t n = ::recv(from.from, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n > 0) {
      from.in.append(bytes.data(), static_cast<std::size_t>(n));
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
      from.ended = true;
    }
  }
  static void send(flow& of) {
    if (of.to < 0) return;
    while (!of.out.empty()) {
      const ssize_t n =
          ::send(of.to, of.out.data(), of.split ? 1 : of.out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) {
        of.out.erase(0, static_cast<std::size_t>(n));
        if (of.split && !of.out.empty()) return;  // the others get a turn
      } else if (errno == EAGAIN || errno == EINTR) {
        return;
      } else {
        of.out.clear();  // nobody is there any more, which is seen on the other way
      }
    }
    if (of.ended && !of.held && !std::exchange(of.end_sent, true)) ::shutdown(of.to, SHUT_WR);
  }

  /// Lets the next message of `in` pass, or does to it what was ordered; false: there is none.
  bool pass_one(connection& of, flow& on) {
    if (on.raw > 0 && !on.in.empty()) {
      const std::size_t n = std::min(on.raw, on.in.size());
      on.out.append(on.in, 0, n);
      on.in.erase(0, n);
      on.raw -= n;
      return true;
    }
    const std::size_t type = on.typed ? 1 : 0;
    if (on.in.size() < (on.typed ? 5U : 8U)) return false;
    const std::size_t size = type + number_at(on.in, type);
    const std::uint32_t code = on.typed ? 0 : number_at(on.in, 4);
    if (!on.known) {
      if (code == cancel_code && !pass_cancel(of)) return false;
      if (of.to_server.to < 0) connect(of);
      if (of.over) return false;
      on.known = true;
      if (!of.is_cancel) on.fault = count(of, on);
      if (on.fault == fault::reset) of.reset = true;
      on.held = on.fault == fault::hold;
      on.cut = on.fault == fault::cut || on.fault == fault::reset;
      if (on.held || on.cut) return false;
    }
    if (on.in.size() < size) return false;
    if (on.fault == fault::split) on.split = true;
    on.cut = on.fault == fault::cut_within || on.fault == fault::cut_behind;
    on.out.append(on.in, 0, on.fault == fault::cut_within ? size / 2 : size);
    on.in.erase(0, size);
    on.known = false;
    on.fault.reset();
    if (code == tls_code || code == gss_code) {
      of.to_client.raw += 1;
    } else {
      on.typed = true;
    }
    return true;
  }
  /// A message begins. \return what was ordered for it.
  std::optional<fault> count(const connection& of, const flow& on) {
    const auto which = &on == &of.to_server ? direction::to_server : direction::to_client;
    trace_.append({' ', which == direction::to_server ? '>' : '<', on.typed ? on.in[0] : '*'});
    const std::size_t n = ++seen_[static_cast<std::size_t>(which)];
    if (done_ || ordered_.which != which || ordered_.n != n) return std::nullopt;
    done_ = true;
    trace_ += '!';
    return ordered_.what;
  }
  /// A request to cancel has come; false: it stays here.
  bool pass_cancel(connection& of) {
    if (!std::exchange(of.is_cancel, true)) {
      ++cancel_requests_;
      of.held_cancel = cancels_ == cancels::hold || cancels_ == cancels::silence;
      if (cancels_ == cancels::drop) end(of);
    }
    return !of.over && !of.held_cancel;
  }

  const std::uint16_t server_;
  free_port port_;
  int wake_;
  std::thread thread_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::list<connection> all_;
  ordered ordered_;
  std::array<std::size_t, 2> seen_{};
  std::string trace_;
  std::size_t cancel_requests_ = 0;
  cancels cancels_ = cancels::pass;
  bool done_ = false;
  bool over_ = false;
};

}  // namespace curfew::tests
