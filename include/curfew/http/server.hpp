#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/tls.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew::http {

/// How a server listens at one address. Each setter returns the options, so they can be chained; the overload without
/// an argument reads the option.
class listen_options {
 public:
  /// Mode of a Unix socket's file, whatever the umask: 0660 lets its owner and its group connect. For a path only.
  /// Default: none, what the umask leaves.
  listen_options& permissions(unsigned mode) { return permissions_ = mode, *this; }
  [[nodiscard]] std::optional<unsigned> permissions() const noexcept { return permissions_; }
  /// Every connection begins with a header of the PROXY protocol, version 1 or 2, as haproxy's `send-proxy-v2` writes
  /// it. Only the server's trusted peers may connect; a connection of any other is closed at once, one without the
  /// header, or with a malformed one, as soon as that is seen. Default: no.
  listen_options& proxy_protocol(bool yes) { return proxy_protocol_ = yes, *this; }
  [[nodiscard]] bool proxy_protocol() const noexcept { return proxy_protocol_; }
  /// Connections are encrypted, with these certificates. Behind the PROXY protocol's header, where there is one: that comes
  /// first, in plain. A client that sends HTTP in plain gets 400, which says so. Default: in plain.
  listen_options& tls(tls_server with) { return tls_ = std::move(with), *this; }
  [[nodiscard]] const std::optional<tls_server>& tls() const noexcept { return tls_; }

 private:
  std::optional<unsigned> permissions_;
  bool proxy_protocol_ = false;
  std::optional<tls_server> tls_;
};

/// Which fields of a request name its client, where the peer is trusted.
enum class forwarding {
  x_forwarded,  ///< X-Forwarded-For and X-Forwarded-Proto.
  rfc7239,      ///< Forwarded.
};

/// How a server serves. Each setter returns the options, so they can be chained; the overload without an
/// argument reads the option.
class server_options {
 public:
  /// Gets a line of text. Called from threads of the server; must not throw.
  using line_sink = std::function<void(std::string_view line)>;

  /// One address to listen on, and how.
  struct listener {
    listener(std::string at, const listen_options& as) : address(std::move(at)), options(as) {}
    std::string address;
    listen_options options;
  };

  /// Where to listen, instead of all that was said before. Default: "127.0.0.1:0".
  ///
  /// | address                             | what listens                                                      |
  /// |-------------------------------------|-------------------------------------------------------------------|
  /// | `127.0.0.1:8080`, `[::1]:0`         | TCP; port 0 takes a free one                                      |
  /// | `0.0.0.0:80`, `[::]:80`             | TCP on all interfaces: IPv4, IPv6. Each is one of them, take both |
  /// | `unix:/run/app.sock`, `unix:@app`   | a Unix socket: its file, or its abstract name                     |
  /// | `systemd`, `systemd:web`            | what systemd passed: all sockets, or those of that name           |
  ///
  /// The file of a Unix socket is removed at shutdown; one that a dead server left behind is replaced.
  ///
  ///     http::server_options options;
  ///     options.listen("0.0.0.0:8080").also_listen("[::]:8080");
  ///     options.also_listen("unix:/run/app.sock", http::listen_options().permissions(0660));
  server_options& listen(std::string address, const listen_options& how = {}) {
    named_ = false;
    return also_listen(std::move(address), how);
  }
  /// The first address.
  [[nodiscard]] const std::string& listen() const noexcept { return listeners_.front().address; }
  /// Listens there too.
  server_options& also_listen(std::string address, const listen_options& how = {}) {
    if (!std::exchange(named_, true)) listeners_.clear();
    return listeners_.emplace_back(std::move(address), how), *this;
  }
  /// All of them, in the order in which they were named.
  [[nodiscard]] const std::vector<listener>& listeners() const noexcept { return listeners_; }
  /// Threads, each with its own event loop; a connection stays on its thread. Default: 0, one per core.
  server_options& threads(unsigned count) { return threads_ = count, *this; }
  [[nodiscard]] unsigned threads() const noexcept { return threads_; }
  /// How long a request may take at most, from the end of its header until its response has been sent; one
  /// that asks for more gets this. One second later the server answers 503 if the handler has not, and closes the
  /// connection. clock::duration::max(): no limit. Default: 1 minute.
  server_options& max_request_time(clock::duration d) { return max_request_time_ = d, *this; }
  [[nodiscard]] clock::duration max_request_time() const noexcept { return max_request_time_; }
  /// How long requests may go on at shutdown before their contexts are ended. Default: 5 s.
  server_options& grace(clock::duration d) { return grace_ = d, *this; }
  [[nodiscard]] clock::duration grace() const noexcept { return grace_; }
  /// How long a client may take from its connection until the TLS handshake is over; longer is closed. Default: 10 s.
  server_options& handshake_timeout(clock::duration d) { return handshake_timeout_ = d, *this; }
  [[nodiscard]] clock::duration handshake_timeout() const noexcept { return handshake_timeout_; }
  /// How long a client may take to send a header, and then to send a body; longer gets 408. A client that
  /// takes nothing of a response for `body_timeout` counts as gone. Default: 10 s; 30 s.
  server_options& header_timeout(clock::duration d) { return header_timeout_ = d, *this; }
  [[nodiscard]] clock::duration header_timeout() const noexcept { return header_timeout_; }
  server_options& body_timeout(clock::duration d) { return body_timeout_ = d, *this; }
  [[nodiscard]] clock::duration body_timeout() const noexcept { return body_timeout_; }
  /// Bytes a second that a body has to bring beyond `body_timeout`, which each of them extends; 0: nothing extends it.
  /// Default: 500.
  server_options& min_body_rate(std::size_t bytes) { return min_body_rate_ = bytes, *this; }
  [[nodiscard]] std::size_t min_body_rate() const noexcept { return min_body_rate_; }
  /// How long a connection may be idle between two requests. Default: 1 minute.
  server_options& idle_timeout(clock::duration d) { return idle_timeout_ = d, *this; }
  [[nodiscard]] clock::duration idle_timeout() const noexcept { return idle_timeout_; }
  /// Largest header, of 100 fields at most, and body, in bytes; more gets 431 and 413. Default: 16 KiB; 1 MiB.
  server_options& max_header_size(std::size_t bytes) { return max_header_size_ = bytes, *this; }
  [[nodiscard]] std::size_t max_header_size() const noexcept { return max_header_size_; }
  server_options& max_body_size(std::size_t bytes) { return max_body_size_ = bytes, *this; }
  [[nodiscard]] std::size_t max_body_size() const noexcept { return max_body_size_; }
  /// Bytes of all bodies together that are kept for handlers, until their responses have been sent; a request beyond gets
  /// 503 at once. Default: 256 MiB.
  server_options& max_buffered_bodies(std::size_t bytes) { return max_buffered_bodies_ = bytes, *this; }
  [[nodiscard]] std::size_t max_buffered_bodies() const noexcept { return max_buffered_bodies_; }
  /// Requests of one connection; the answer to the last one closes it. 0: any number. Default: 0.
  server_options& max_requests(std::size_t count) { return max_requests_ = count, *this; }
  [[nodiscard]] std::size_t max_requests() const noexcept { return max_requests_; }
  /// Connections at a time; more are not accepted until one closes. One whose client has gone counts until its handler has
  /// returned, so that handlers that do not obey their context stay bounded, too. Default: 10,000.
  server_options& max_connections(std::size_t count) { return max_connections_ = count, *this; }
  [[nodiscard]] std::size_t max_connections() const noexcept { return max_connections_; }
  /// Connections at a time of one client: an IPv4 address, or a /64 of IPv6. One more is closed at once, without an
  /// answer, which would cost what the limit is to save. Trusted peers and Unix sockets have no limit; with the PROXY
  /// protocol the client that it names has one. 0: no limit. Default: 0.
  server_options& max_connections_per_address(std::size_t count) {
    return max_connections_per_address_ = count, *this;
  }
  [[nodiscard]] std::size_t max_connections_per_address() const noexcept {
    return max_connections_per_address_;
  }
  /// How long the other end of a TCP connection may give no sign of life, not even the acknowledgement that its system
  /// sends by itself, until it counts as gone; a machine that was switched off gives none. It is asked for one when the
  /// connection was quiet for half of this (keepalive). From 2 s on. clock::duration::max(): as the system is set up.
  /// One that lives, but takes nothing of a response for as long, is gone, too. Default: 1 minute.
  server_options& silent_peer_timeout(clock::duration d) { return silent_peer_timeout_ = d, *this; }
  [[nodiscard]] clock::duration silent_peer_timeout() const noexcept { return silent_peer_timeout_; }
  /// The proxies whose word about the client counts: "10.0.0.0/8", "2001:db8::/32", "192.0.2.1", "unix:" for Unix
  /// sockets; `server::listen` refuses what is malformed. `request::client_address` and `client_scheme` say what they
  /// tell. Default: none.
  /// \param by  The fields that these proxies set. Others are ignored: a proxy hands them on as the client sent them.
  ///
  ///     http::server_options options;
  ///     options.trusted_peers({"10.0.0.0/8", "unix:"});
  ///     options.listen("unix:/run/app.sock");                                                  // nginx
  ///     options.also_listen("10.0.0.5:8080", http::listen_options().proxy_protocol(true));  // haproxy
  server_options& trusted_peers(std::vector<std::string> networks, forwarding by = forwarding::x_forwarded) {
    trusted_peers_ = std::move(networks);
    forwarded_by_ = by;
    return *this;
  }
  [[nodiscard]] const std::vector<std::string>& trusted_peers() const noexcept { return trusted_peers_; }
  [[nodiscard]] forwarding forwarded_by() const noexcept { return forwarded_by_; }
  /// Does a client that shuts down its sending side still wait for the answer? Default: no, its request ends.
  server_options& half_close_is_alive(bool yes) { return half_close_is_alive_ = yes, *this; }
  [[nodiscard]] bool half_close_is_alive() const noexcept { return half_close_is_alive_; }
  /// Gets what a client must not see: "GET /disk: the handler threw: bad allocation". Of TLS handshakes that failed, one
  /// line a minute at most, which says how many others there were. Default: empty, which writes the line to standard
  /// error.
  server_options& on_error(line_sink f) { return on_error_ = std::move(f), *this; }
  [[nodiscard]] const line_sink& on_error() const noexcept { return on_error_; }
  /// How long a handler may hold its thread, without a `co_await` that waits, before `on_held_thread` is told.
  /// The measurement may start up to half of this late. clock::duration::max(): no watching. Default: 100 ms.
  server_options& max_hold(clock::duration d) { return max_hold_ = d, *this; }
  [[nodiscard]] clock::duration max_hold() const noexcept { return max_hold_; }
  /// Gets "GET /disk/{name}: the handler held its thread for 312 ms", one line a second at most, when the
  /// thread is free again or after ten times `max_hold`. Default: empty, which writes the line to standard
  /// error.
  server_options& on_held_thread(line_sink f) { return on_held_thread_ = std::move(f), *this; }
  [[nodiscard]] const line_sink& on_held_thread() const noexcept { return on_held_thread_; }

 private:
  std::vector<listener> listeners_{{"127.0.0.1:0", {}}};
  bool named_ = false;  // listeners_ is no longer the default
  unsigned threads_ = 0;
  clock::duration max_request_time_ = std::chrono::minutes(1);
  clock::duration grace_ = std::chrono::seconds(5);
  clock::duration handshake_timeout_ = std::chrono::seconds(10);
  clock::duration header_timeout_ = std::chrono::seconds(10);
  clock::duration body_timeout_ = std::chrono::seconds(30);
  clock::duration idle_timeout_ = std::chrono::minutes(1);
  clock::duration max_hold_ = std::chrono::milliseconds(100);
  std::size_t max_header_size_ = 16 * 1024;
  std::size_t max_body_size_ = 1024 * 1024;
  std::size_t min_body_rate_ = 500;
  std::size_t max_buffered_bodies_ = 256 * 1024 * 1024;
  std::size_t max_requests_ = 0;
  std::size_t max_connections_ = 10'000;
  std::size_t max_connections_per_address_ = 0;
  clock::duration silent_peer_timeout_ = std::chrono::minutes(1);
  std::vector<std::string> trusted_peers_;
  forwarding forwarded_by_ = forwarding::x_forwarded;
  bool half_close_is_alive_ = false;
  line_sink on_error_;
  line_sink on_held_thread_;
};

/// How a server's shutdown went.
struct shutdown_report {
  /// Requests that were running when the shutdown began and finished within the grace time.
  std::size_t finished = 0;
  /// Requests whose contexts had to be ended, and which then finished.
  std::size_t ended = 0;
  /// Requests that went on although their context had ended: "GET /disk?root=/usr, 12.3 s".
  std::vector<std::string> stuck;
};

/// An HTTP/1.1 server.
///
/// **A handler must not block its thread.** It runs on the thread of its connection, which serves other clients
/// too: while it computes or waits without `co_await`, none of them is served, and its own context does not
/// learn that its client has gone. Work that blocks belongs in `http::blocking` or in `async_offload`.
///
/// The context of a request ends
///   - when its client closes, half-closes or resets the connection, at once, with cause errc::client_gone.
///     After a half-close the response is still sent. A close behind more than about 100 KB of pipelined
///     bytes cannot be seen, a reset can. With TLS a close_notify is the half-close; where the connection ends without
///     one, no response follows;
///   - at the deadline that came with the request or by max_request_time;
///   - when the response has been sent, with its body, with cause errc::handler_done;
///   - at shutdown, with cause errc::shutdown.
/// A handler that goes on nevertheless keeps what it was given; nothing that it returns is sent to a client
/// that has gone.
///
/// Timeouts other than deadlines come up to a quarter of the shortest one late.
///
///     http::router routes;
///     routes.get("/hello/{name}", hello);
///     http::server server(routes, http::server_options().listen("127.0.0.1:8080"));
///     if (auto up = server.listen(); !up) std::cerr << up.error() << '\n';  // says what to do about it
///     auto report = co_await server.async_serve(ctx);                       // until ctx ends
class server {
 public:
  explicit server(router routes, const server_options& options = {});
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  /// Ends all requests with cause `shutdown`, without grace, and waits until their handlers have returned.
  ~server();

  /// Takes the addresses, all or none. Clients may connect from now on; they are answered once the server serves.
  ///
  /// Sockets of systemd are taken from the process once: its environment tells of them no more, to child processes
  /// neither. So call this before threads read the environment.
  /// Errors: errc::bad_address, also of a trusted network, or where systemd passed no such socket;
  ///         std::errc::invalid_argument where the PROXY protocol is expected of nobody; that of the system: address
  ///         in use, permission denied. Each with the address and what to do.
  [[nodiscard]] result<> listen();

  /// The port listened on, of the first TCP address; 0 before `listen` and without one.
  [[nodiscard]] std::uint16_t port() const noexcept;
  /// "http://127.0.0.1:8080", of the first TCP address, "https://" where that is encrypted; empty before `listen` and
  /// without one.
  [[nodiscard]] std::string url() const;
  /// Where it listens, in the order of the options, with the ports that were free: "127.0.0.1:40312",
  /// "unix:/run/app.sock". Empty before `listen`.
  [[nodiscard]] std::vector<std::string> addresses() const;

  /// Serves, once, until `ctx` ends (listens first, if that is still to be done), then shuts down: stops
  /// accepting, closes connections without a request, leaves running requests the grace time, ends their contexts with
  /// cause `shutdown`, waits a second for them to come home, and reports. Every request's context is derived
  /// from `ctx`'s values. Requests run on the server's own threads, not on the caller's.
  ///
  /// Completes when:  the shutdown is over. The addresses are free from its beginning on; a socket of
  ///                  systemd stays with it, and its clients wait there for the next server.
  /// Errors:          those of `listen`; std::errc::operation_not_permitted when called a second time; that of
  ///                  the system if a thread cannot be started.
  /// Cancellation:    the end of ctx begins the shutdown.
  /// Lifetime:        the server must live until it completes.
  [[nodiscard]] result<shutdown_report> serve(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<shutdown_report>> async_serve(context ctx);

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace curfew::http
