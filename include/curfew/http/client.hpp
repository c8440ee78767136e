#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/system_executor.hpp>
#include <chrono>
#include <cstddef>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/call_hooks.hpp>
#include <curfew/http/dial.hpp>
#include <curfew/http/message.hpp>
#include <curfew/http/redirect.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/detail/local_handler.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew::http {

/// How a client sends. Each setter returns the options, so they can be chained; the overload without an
/// argument reads the option.
class client_options {
 public:
  /// Connections kept open for the next request, in all. Default: 64.
  client_options& max_idle_connections(std::size_t count) { return max_idle_connections_ = count, *this; }
  [[nodiscard]] std::size_t max_idle_connections() const noexcept { return max_idle_connections_; }
  /// How long such a connection is kept without a use. Default: 1 minute.
  client_options& idle_timeout(clock::duration d) { return idle_timeout_ = d, *this; }
  [[nodiscard]] clock::duration idle_timeout() const noexcept { return idle_timeout_; }
  /// Age from which a connection is not used again, however busy it is: so that a server that has moved, or was added, gets
  /// its part of the calls. Default: 0, which is no limit.
  client_options& connection_life_time(clock::duration d) { return connection_life_time_ = d, *this; }
  [[nodiscard]] clock::duration connection_life_time() const noexcept { return connection_life_time_; }
  /// Connections to one host at a time; further requests wait for their turn, and give it up when their
  /// context ends. Default: 0, which is no limit.
  client_options& max_connections_per_host(std::size_t count) {
    return max_connections_per_host_ = count, *this;
  }
  [[nodiscard]] std::size_t max_connections_per_host() const noexcept { return max_connections_per_host_; }
  /// Largest header and body of a response, in bytes; more is an error. Default: 64 KiB; 64 MiB. The header
  /// counts with its trailers and with those of redirects and 1xx responses before it, the body as decoded.
  /// A download's body has no limit.
  client_options& max_header_size(std::size_t bytes) { return max_header_size_ = bytes, *this; }
  [[nodiscard]] std::size_t max_header_size() const noexcept { return max_header_size_; }
  client_options& max_body_size(std::size_t bytes) { return max_body_size_ = bytes, *this; }
  [[nodiscard]] std::size_t max_body_size() const noexcept { return max_body_size_; }
  /// Redirects to follow. Default: 10; 0: the redirect itself is the response.
  client_options& max_redirects(unsigned count) { return max_redirects_ = count, *this; }
  [[nodiscard]] unsigned max_redirects() const noexcept { return max_redirects_; }
  /// Follow a redirect from https:// to http://? Else that is errc::redirect_refused. Default: no.
  client_options& insecure_redirects(bool yes) { return insecure_redirects_ = yes, *this; }
  [[nodiscard]] bool insecure_redirects() const noexcept { return insecure_redirects_; }
  /// Sees each redirect before it is followed, and may refuse it. Default: none.
  ///
  ///     http::client stays(http::client_options().on_redirect([](const http::redirect& next) -> std::error_code {
  ///       if (next.cross_origin) return http::errc::redirect_refused;
  ///       return {};
  ///     }));
  client_options& on_redirect(redirect_hook f) { return on_redirect_ = std::move(f), *this; }
  [[nodiscard]] const redirect_hook& on_redirect() const noexcept { return on_redirect_; }
  /// Sees each address before the client connects to it, those of redirects too, and may refuse it; where all are refused,
  /// the call fails with the code that the last one got. `refuse_private_addresses` is ready. Of a call through a proxy it
  /// sees the proxy's address, since the proxy looks up the server's: there the proxy has to refuse. It is not asked about
  /// unix_socket. Default: none.
  client_options& on_dial(dial_hook f) { return on_dial_ = std::move(f), *this; }
  [[nodiscard]] const dial_hook& on_dial() const noexcept { return on_dial_; }
  /// Sees each request before it is sent, and may set its fields or refuse it. Default: none.
  ///
  ///     http::client api(http::client_options().on_request([](http::outgoing_request& next) -> std::error_code {
  ///       next.fields.set("Authorization", "Bearer " + token());
  ///       return {};
  ///     }));
  client_options& on_request(request_hook f) { return on_request_ = std::move(f), *this; }
  [[nodiscard]] const request_hook& on_request() const noexcept { return on_request_; }
  /// Sees the header of each answer before its body is read, and may refuse it. Default: none.
  ///
  ///     http::client api(http::client_options().on_response([](const http::incoming_response& answer) -> std::error_code {
  ///       const auto waited = answer.head.timings().waiting;
  ///       std::clog << answer.url << ' ' << answer.head.status_line() << ' ' << waited.count() << " ns\n";
  ///       return {};
  ///     }));
  client_options& on_response(response_hook f) { return on_response_ = std::move(f), *this; }
  [[nodiscard]] const response_hook& on_response() const noexcept { return on_response_; }
  /// How long a call may take whose context has no deadline: it ends then with deadline_exceeded, and that this was the
  /// reason is its cause. For `open` up to the header: a download may last. Default: none, such a call waits for as long as its
  /// context lives.
  client_options& default_timeout(clock::duration d) { return default_timeout_ = d, *this; }
  [[nodiscard]] std::optional<clock::duration> default_timeout() const noexcept { return default_timeout_; }
  /// After how long a server counts as gone whose machine, or the way to it, gives no sign of life: a call on its connection
  /// fails then with errc::connection_lost or truncated_body, however far its deadline is. The kernel asks; a server that takes
  /// long to answer is not silent. Not for Unix sockets. Default: 1 minute; clock::duration::max() switches it off.
  client_options& silent_peer_timeout(clock::duration d) { return silent_peer_timeout_ = d, *this; }
  [[nodiscard]] clock::duration silent_peer_timeout() const noexcept { return silent_peer_timeout_; }
  /// A PEM file with the certificates to trust, and no others. Default: empty, the system's: OpenSSL's directory, or what
  /// SSL_CERT_FILE and SSL_CERT_DIR name. This and other files are read at the first call over https://: one that is of no
  /// use makes the call fail with errc::tls_failure, which names it.
  client_options& ca_file(std::string path) { return ca_file_ = std::move(path), *this; }
  [[nodiscard]] const std::string& ca_file() const noexcept { return ca_file_; }
  /// The certificate by which the client shows who it is to servers that ask: PEM files with it and its intermediates, and
  /// with its private key. Default: none.
  client_options& client_certificate(std::string chain_file, std::string key_file) {
    client_chain_file_ = std::move(chain_file);
    client_key_file_ = std::move(key_file);
    return *this;
  }
  [[nodiscard]] const std::string& client_chain_file() const noexcept { return client_chain_file_; }
  [[nodiscard]] const std::string& client_key_file() const noexcept { return client_key_file_; }
  /// A public key that servers over https:// have to have, beside a certificate that is trusted: "sha256/" and the base64
  /// of the SHA-256 of its SubjectPublicKeyInfo, as RFC 7469 writes it. May be repeated; one of them is enough. Default: any.
  client_options& pinned_key(std::string pin) { return pinned_keys_.push_back(std::move(pin)), *this; }
  [[nodiscard]] const std::vector<std::string>& pinned_keys() const noexcept { return pinned_keys_; }
  /// The proxy through which requests go: "http://user:password@host:port", with port 80 where it names none; "" is none.
  /// https:// goes through it by CONNECT. The own machine (localhost, 127.0.0.0/8, ::1) is never asked for through a proxy, nor
  /// is a Unix socket. Any other kind of proxy makes calls fail with errc::bad_url. Default: those of the environment as
  /// it is when the client is made: http_proxy for http://, https_proxy or HTTPS_PROXY for https://, for both else all_proxy
  /// or ALL_PROXY; but for the hosts of no_proxy or NO_PROXY: a list of names, for themselves and for what is below them,
  /// of addresses, and of networks (10.0.0.0/8), each perhaps with a port; "*" is all.
  client_options& proxy(std::string url) { return proxy_ = std::move(url), *this; }
  [[nodiscard]] const std::optional<std::string>& proxy() const noexcept { return proxy_; }
  /// A Unix socket to which all requests go, whatever host their URLs name; "@app" is an abstract name. Over https:// the
  /// certificate has to be for that host. Default: empty, none.
  ///
  ///     http::client docker(http::client_options().unix_socket("/run/docker.sock"));
  ///     auto version = docker.send(ctx, http::request("GET", "http://localhost/version"));
  client_options& unix_socket(std::string path) { return unix_socket_ = std::move(path), *this; }
  [[nodiscard]] const std::string& unix_socket() const noexcept { return unix_socket_; }
  /// Send what remains of the deadline (see deadline.hpp)? Default: yes.
  client_options& send_deadline(bool yes) { return send_deadline_ = yes, *this; }
  [[nodiscard]] bool send_deadline() const noexcept { return send_deadline_; }

 private:
  std::size_t max_idle_connections_ = 64;
  clock::duration idle_timeout_ = std::chrono::minutes(1);
  clock::duration connection_life_time_{};
  std::size_t max_connections_per_host_ = 0;
  std::size_t max_header_size_ = 64 * 1024;
  std::size_t max_body_size_ = 64 * 1024 * 1024;
  unsigned max_redirects_ = 10;
  bool insecure_redirects_ = false;
  redirect_hook on_redirect_;
  dial_hook on_dial_;
  request_hook on_request_;
  response_hook on_response_;
  std::optional<clock::duration> default_timeout_;
  clock::duration silent_peer_timeout_ = std::chrono::minutes(1);
  std::string ca_file_;
  std::string client_chain_file_;
  std::string client_key_file_;
  std::vector<std::string> pinned_keys_;
  std::optional<std::string> proxy_;
  std::string unix_socket_;
  bool send_deadline_ = true;
};

/// A response whose body is read piece by piece. Move-only; one that was moved from may only be destroyed or
/// assigned to. Destroying it before the end closes the connection; a read that is still pending then ends
/// with errc::canceled.
/// Thread safety: one thread at a time.
class download {
 public:
  download(download&&) noexcept;
  download& operator=(download&&) noexcept;
  ~download();

  /// Status and fields; the body is empty.
  [[nodiscard]] const response& head() const noexcept;

  /// The next piece of the body, as it comes, of at most about 256 KiB; none at the end. Without a reader no more
  /// than that is read, and the sender is held back.
  ///
  /// Completes when:  there are bytes, the body ends, or the context ends: `ctx`, or the one it was opened
  ///                  with.
  /// Errors:          the context's end; errc::truncated_body or connection_lost, after the bytes that came;
  ///                  canceled where the client was destroyed. The next read gets the same.
  /// Cancellation:    of `ctx` alone takes nothing: the next call gets the bytes. Of the opening context: the
  ///                  connection closes, unless the body had come to its end.
  /// Thread safety:   one read at a time: a second one gets std::errc::operation_in_progress.
  [[nodiscard]] result<std::optional<std::string>> read(const context& ctx);
  template <class Token = default_token>
  auto async_read(context ctx, Token&& token = {}) {
    using piece = result<std::optional<std::string>>;
    return detail::initiate_locally<piece>(
        std::forward<Token>(token), std::move(ctx),
        [this](context of, auto complete) { start_read(std::move(of), std::move(complete)); });
  }

  struct transfer;
  explicit download(std::shared_ptr<transfer> t) noexcept;

 private:
  using read_completion = std::shared_ptr<detail::local_completion<result<std::optional<std::string>>>>;
  void start_read(context ctx, read_completion complete);

  std::shared_ptr<transfer> transfer_;
};

/// Sends requests over HTTP/1.1 and keeps connections. A call runs on its handler's execution context, or in the thread that
/// waits for it.
///
/// A body that streams (request::file, request::stream) is sent as the connection takes it, and only as far as the answer
/// leaves a sense in it: an answer of 300 or above stops it, and so does one that is complete. The connection is not kept
/// then. The source of a body runs on the handler's executor; for a blocking call, in the calling thread.
///
/// All calls, blocking or not:
/// Completes when:  the response is complete (for open: its header, and the request's body is sent or in vain), or fails,
///                  or `ctx` ends, in any phase:
///                  already before, waiting for a connection, resolving, connecting, asking the proxy, in the TLS
///                  handshake, sending, waiting, reading. A response that is complete when ctx ends is delivered.
/// Errors:          curfew::errc::canceled or deadline_exceeded when ctx ended, with its cause; http::errc; what a hook of
///                  the options says;
///                  std::errc::invalid_argument for a method or a field that is not HTTP: nothing is sent
///                  then. Of a body that streams: the system's code for its file; what its source throws, a
///                  std::system_error with its code, else std::errc::io_error. An answer of any status is a response, not an error. The error names method, URL
///                  (never its userinfo) and phase.
/// Cancellation:    the connection is closed, so that the server knows; the call returns within milliseconds, once the
///                  source of its body has.
/// Lifetime:        the client may be destroyed while calls are under way; they then end with errc::canceled.
/// Thread safety:   any thread, any number of calls at a time.
///
/// What is sent beside the request's fields: Host, Content-Length, User-Agent and Accept if they are not set,
/// Accept-Encoding unless it is set. `send` then decodes the body, and leaves Content-Encoding and
/// Content-Length out of its fields; `open` asks for identity and gives the body as it comes, encoded if the
/// server encodes it all the same. A request whose kept connection turns out to be dead is sent again on
/// another if its method is idempotent.
///
/// Redirects are followed as RFC 9110 and browsers do: 307 and 308 with the same method and body, 303 with a GET without
/// a body (a HEAD stays one), 301 and 302 as 303 for POST and as 307 for all else. To another origin go neither
/// Authorization, Cookie, Proxy-Authorization and Host, nor the URL's userinfo, nor what `request::secret` has set, and none of
/// them come back later in the same call; a body of 307 and 308 does. on_redirect sees every step.
///
/// How long each phase took is in the response's timings().
///
/// Over https:// the connection is TLS 1.2 or 1.3. The server's certificate has to be valid, from an authority that is
/// trusted, and for the host of the URL: by its alternative names, as RFC 9525 has it. Nothing switches that off. Sessions
/// are resumed, by the client that began them alone.
class client {
 public:
  explicit client(client_options options = {});
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client();

  /// The verbs, for requests that need no fields: `send` of a request with that method, URL, body and Content-Type.
  ///
  ///     http::client& api = http::client::shared();
  ///     auto made = api.post(ctx, url, R"({"name": "vim"})", "application/json");
  [[nodiscard]] result<response> get(const context& ctx, std::string url) {
    return send(ctx, request("GET", std::move(url)));
  }
  [[nodiscard]] result<response> post(const context& ctx, std::string url, std::string body,
                                      std::string_view content_type) {
    return send(ctx, with_body("POST", std::move(url), std::move(body), content_type));
  }
  [[nodiscard]] result<response> put(const context& ctx, std::string url, std::string body,
                                     std::string_view content_type) {
    return send(ctx, with_body("PUT", std::move(url), std::move(body), content_type));
  }
  [[nodiscard]] result<response> patch(const context& ctx, std::string url, std::string body,
                                       std::string_view content_type) {
    return send(ctx, with_body("PATCH", std::move(url), std::move(body), content_type));
  }
  /// DELETE.
  [[nodiscard]] result<response> del(const context& ctx, std::string url) {
    return send(ctx, request("DELETE", std::move(url)));
  }

  template <class Token = default_token>
  auto async_get(context ctx, std::string url, Token&& token = {}) {
    return async_send(std::move(ctx), request("GET", std::move(url)), std::forward<Token>(token));
  }
  template <class Token = default_token>
  auto async_post(context ctx, std::string url, std::string body, std::string_view content_type,
                  Token&& token = {}) {
    return async_send(std::move(ctx), with_body("POST", std::move(url), std::move(body), content_type),
                      std::forward<Token>(token));
  }
  template <class Token = default_token>
  auto async_put(context ctx, std::string url, std::string body, std::string_view content_type,
                 Token&& token = {}) {
    return async_send(std::move(ctx), with_body("PUT", std::move(url), std::move(body), content_type),
                      std::forward<Token>(token));
  }
  template <class Token = default_token>
  auto async_patch(context ctx, std::string url, std::string body, std::string_view content_type,
                   Token&& token = {}) {
    return async_send(std::move(ctx), with_body("PATCH", std::move(url), std::move(body), content_type),
                      std::forward<Token>(token));
  }
  template <class Token = default_token>
  auto async_del(context ctx, std::string url, Token&& token = {}) {
    return async_send(std::move(ctx), request("DELETE", std::move(url)), std::forward<Token>(token));
  }

  /// Move a request with a large body in: it is not copied then.
  [[nodiscard]] result<response> send(const context& ctx, request what);
  [[nodiscard]] result<download> open(const context& ctx, request what);

  template <class Token = default_token>
  auto async_send(context ctx, request what, Token&& token = {}) {
    return initiate<response>(std::forward<Token>(token), std::move(ctx), std::move(what));
  }
  template <class Token = default_token>
  auto async_open(context ctx, request what, Token&& token = {}) {
    return initiate<download>(std::forward<Token>(token), std::move(ctx), std::move(what));
  }

  /// The client behind the free functions below: default options, made at the first use.
  static client& shared();

 private:
  template <class T>
  using completion = std::shared_ptr<detail::local_completion<result<T>>>;

  template <class T, class Token>
  auto initiate(Token&& token, context ctx, request what) {
    return boost::asio::async_initiate<Token, void(result<T>)>(
        [this](auto waits, context of, request asks) {
          boost::asio::any_io_executor runs_source;
          if (asks.streams()) runs_source = executor_of(waits);
          auto complete = detail::local_handler<decltype(waits), result<T>>::make(std::move(waits), of);
          this->start(std::move(of), std::move(asks), std::move(complete), runs_source);
        },
        token, std::move(ctx), std::move(what));
  }
  template <class Handler>
  static boost::asio::any_io_executor executor_of(const Handler& of) {
    using executor = boost::asio::associated_executor_t<Handler>;
    if constexpr (std::is_convertible_v<executor, boost::asio::any_io_executor>) {
      return boost::asio::get_associated_executor(of);
    } else {
      return boost::asio::system_executor();
    }
  }
  static request with_body(const char* method, std::string url, std::string body,
                           std::string_view content_type) {
    request made(method, std::move(url));
    made.body(std::move(body), content_type);
    return made;
  }
  void start(context ctx, request what, completion<response> complete,
             const boost::asio::any_io_executor& runs_source);
  void start(context ctx, request what, completion<download> complete,
             const boost::asio::any_io_executor& runs_source);

  struct impl;
  std::unique_ptr<impl> impl_;
};

/// Gets `url` and waits for the whole response. As client::send with the shared client.
[[nodiscard]] result<response> get(const context& ctx, std::string url);

/// The same for coroutines:
///
///     auto response = co_await http::async_get(ctx, url);
template <class Token = default_token>
auto async_get(context ctx, std::string url, Token&& token = {}) {
  return client::shared().async_send(std::move(ctx), request("GET", std::move(url)),
                                     std::forward<Token>(token));
}

}  // namespace curfew::http
