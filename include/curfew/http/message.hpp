#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/body_reader.hpp>
#include <curfew/http/fields.hpp>
#include <curfew/http/status.hpp>
#include <curfew/http/timings.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew::http {

struct file_body;
struct peer_certificate;

/// Takes the body of a message that is streamed: a handler's response, or a client's request. A cheap handle; the body is
/// over when its `body_source` has returned.
class body_writer {
 public:
  /// Sends `bytes` as soon as the connection takes them; waits if the other side reads slowly.
  ///
  /// Completes when:  the bytes are handed to the kernel, or to TLS on their way to it; or the context
  ///                  ends, or the connection fails.
  /// Errors:          the context's end; errc::connection_lost, also for a request whose rest is in vain;
  ///                  std::errc::operation_not_permitted once the body is over: nothing is sent then. In a request:
  ///                  std::errc::message_size for more than its Content-Length.
  /// Cancellation:    at any point; the connection is closed then, since a part may have been sent.
  /// Thread safety:   the thread that runs the source only; one write at a time.
  boost::asio::awaitable<result<>> async_write(context ctx, std::string bytes);

  struct sink;  // the connection's side
  explicit body_writer(std::shared_ptr<sink> to) noexcept : sink_(std::move(to)) {}

 private:
  std::shared_ptr<sink> sink_;
};

/// Writes a body that is streamed; the body ends when it returns, and must not be written to by anything else
/// then: a write that is still under way cuts it off.
///
/// Of a response: its context is the handler's, which lives until then. If it throws, or its context has ended by then,
/// the connection is closed: the client sees a truncated body.
/// Of a request: its context is one below the call's, which ends as soon as the rest of the body is in vain. If it throws,
/// the call fails with that. The call does not complete before it has returned.
using body_source = std::function<boost::asio::awaitable<void>(context ctx, body_writer out)>;

/// May a source be called again for the same request, to give the same body from its beginning?
enum class repeatable : bool { no, yes };

/// A request, as a client sends it or as a handler gets it.
class request {
 public:
  /// \param target  For a client: the URL. In a handler: what the request line says, "/packages/vim?full=1".
  request(std::string method, std::string target) : method_(std::move(method)), target_(std::move(target)) {}

  [[nodiscard]] const std::string& method() const noexcept { return method_; }
  [[nodiscard]] const std::string& target() const noexcept { return target_; }
  [[nodiscard]] const http::fields& fields() const noexcept { return fields_; }
  [[nodiscard]] http::fields& fields() noexcept { return fields_; }
  [[nodiscard]] const std::string& body() const noexcept { return body_; }

  /// Replaces the field of that name.
  request& set(std::string_view name, std::string_view value) {
    fields_.set(name, value);
    return *this;
  }
  /// The same, and the field is for the origin of the URL alone: a redirect to another leaves it out, as it does
  /// Authorization, Cookie and Proxy-Authorization, which need no marking.
  ///
  ///     auto asks = http::request("GET", url).secret("X-Api-Key", "4bf92f35");
  request& secret(std::string_view name, std::string_view value) {
    fields_.set(name, value);
    secrets_.emplace_back(name);
    return *this;
  }
  /// Sets the body, and its Content-Type where one is given.
  request& body(std::string bytes, std::string_view content_type = {}) {
    body_ = std::move(bytes);
    if (!content_type.empty()) fields_.set("Content-Type", content_type);
    streamed_.reset();
    return *this;
  }
  /// Sends a file, or a part of it, as the body, with Content-Length. It is opened when the request is sent, and read
  /// piece by piece by the thread that sends. It must not become shorter meanwhile.
  ///
  ///     auto upload = http::request("PUT", url).file("backup.tar").set("Content-Type", "application/x-tar");
  ///
  /// \param length  None: up to its end.
  request& file(std::string path, std::uint64_t offset = 0, std::optional<std::uint64_t> length = {});
  /// Sends what `source` writes as the body, chunked, or with the Content-Length that is set as a field.
  ///
  ///     auto lines = [](curfew::context ctx, http::body_writer out) -> asio::awaitable<void> {
  ///       for (int i = 0; i < 3; ++i) {
  ///         auto sent = co_await out.async_write(ctx, "line\n");
  ///         if (!sent) co_return;
  ///       }
  ///     };
  ///     auto upload = http::request("POST", url).stream(lines, http::repeatable::yes);
  ///
  /// \param again  If not, a redirect that has to send the body again fails with std::errc::operation_not_supported, and
  ///               a lost connection is not replaced once the source has been called.
  request& stream(body_source source, repeatable again = repeatable::no);
  /// Is the body a file or a source?
  [[nodiscard]] bool streams() const noexcept { return streamed_ != nullptr; }

  // In a handler.

  /// The path of the target, percent-decoded: "/packages/vim".
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// What stands in the path for `{name}` of the route, percent-decoded; empty if the route has none such.
  [[nodiscard]] std::string_view param(std::string_view name) const noexcept;
  /// The first `name=` of the query, percent-decoded; none if absent.
  [[nodiscard]] std::optional<std::string> query(std::string_view name) const;
  /// The address of the other end of the connection: "127.0.0.1:40312", "[::1]:40312"; "unix:" for a Unix socket.
  [[nodiscard]] const std::string& remote() const noexcept { return remote_; }
  /// The address of the client, without a port: "203.0.113.7", "2001:db8::7"; "unix:" for a Unix socket. Where the
  /// other end of the connection is one of the server's trusted peers, what that tells of the client; else remote()'s.
  [[nodiscard]] std::string_view client_address() const noexcept;
  /// "https" if the connection is encrypted, or a trusted peer says that the client's is, else "http". Where a trusted peer
  /// names the client, its word about that one counts.
  [[nodiscard]] std::string_view client_scheme() const noexcept { return https_ ? "https" : "http"; }
  /// The certificate that the other end of the connection has shown; null: none, or it was not asked for one
  /// (`tls_server_options::client_certificates`). As long as the request. Of `<curfew/http/tls.hpp>`.
  [[nodiscard]] const peer_certificate* client_certificate() const noexcept { return certificate_.get(); }
  /// Reads the body where the route has `stream_body()`; `body()` is empty then.
  [[nodiscard]] const body_reader& reader() const noexcept { return reader_; }

 private:
  friend struct request_access;

  std::string method_;
  std::string target_;
  http::fields fields_;
  std::vector<std::string> secrets_;  // names of fields
  std::string body_;
  std::string path_;
  std::string remote_;
  std::string client_;  // empty: remote_'s
  bool https_ = false;
  std::shared_ptr<const peer_certificate> certificate_;
  body_reader reader_;
  std::vector<std::pair<std::string, std::string>> params_;
  struct streamed;
  std::shared_ptr<const streamed> streamed_;
};

/// A response, as a handler makes it or as a client gets it.
class response {
 public:
  explicit response(http::status code = http::status::ok) noexcept : status_(code) {}
  response(http::status code, std::string_view content_type, std::string body)
      : status_(code),
        body_(std::move(body)) {
    fields_.set("Content-Type", content_type);
  }

  [[nodiscard]] http::status status() const noexcept { return status_; }
  response& status(http::status code) noexcept { return status_ = code, *this; }
  /// "HTTP/1.1 200 OK"
  [[nodiscard]] std::string status_line() const;
  [[nodiscard]] const http::fields& fields() const noexcept { return fields_; }
  [[nodiscard]] http::fields& fields() noexcept { return fields_; }
  /// Empty where the body is streamed, or a file.
  [[nodiscard]] const std::string& body() const noexcept { return body_; }
  [[nodiscard]] std::string& body() noexcept { return body_; }
  /// Of the call that got it; all zero where it came from elsewhere.
  [[nodiscard]] const http::timings& timings() const noexcept { return timings_; }

  response& set(std::string_view name, std::string_view value) {
    fields_.set(name, value);
    return *this;
  }
  /// Makes this a streaming response: chunked, or until the connection closes for HTTP/1.0.
  response& stream(body_source source) {
    source_ = std::move(source);
    file_.reset();
    return *this;
  }
  [[nodiscard]] const body_source& source() const noexcept { return source_; }

 private:
  friend struct response_access;

  http::status status_;
  http::fields fields_;
  std::string body_;
  body_source source_;
  std::shared_ptr<const file_body> file_;  // of http::file
  http::timings timings_;
};

/// text/plain in UTF-8.
[[nodiscard]] response text(status code, std::string body);
/// application/json; `body` is JSON text.
[[nodiscard]] response json(status code, std::string body);
/// A streaming response of that type.
[[nodiscard]] response stream(std::string_view content_type, body_source source);
/// A stream of server-sent events; write them with `event`.
[[nodiscard]] response events(body_source source);
/// One server-sent event; a `data` of several lines is kept.
[[nodiscard]] std::string event(std::string_view data, std::string_view name = {});

}  // namespace curfew::http
