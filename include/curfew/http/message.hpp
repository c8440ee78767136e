#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/body_reader.hpp>
#include <curfew/http/fields.hpp>
#include <curfew/http/status.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew::http {

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
  /// Sets the body, and its Content-Type where one is given.
  request& body(std::string bytes, std::string_view content_type = {}) {
    body_ = std::move(bytes);
    if (!content_type.empty()) fields_.set("Content-Type", content_type);
    return *this;
  }

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
  /// "https" if a trusted peer says that the client used it, else "http".
  [[nodiscard]] std::string_view client_scheme() const noexcept { return https_ ? "https" : "http"; }
  /// Reads the body where the route has `stream_body()`; `body()` is empty then.
  [[nodiscard]] const body_reader& reader() const noexcept { return reader_; }

 private:
  friend struct request_access;

  std::string method_;
  std::string target_;
  http::fields fields_;
  std::string body_;
  std::string path_;
  std::string remote_;
  std::string client_;  // empty: remote_'s
  bool https_ = false;
  body_reader reader_;
  std::vector<std::pair<std::string, std::string>> params_;
};

/// Takes the body of a streaming response. A cheap handle; the body is over when its `body_source` has returned.
class body_writer {
 public:
  /// Sends `bytes` as soon as the connection takes them; waits if the client reads slowly.
  ///
  /// Completes when:  the bytes are handed to the kernel, or the context ends, or the connection fails.
  /// Errors:          the context's end; errc::connection_lost; std::errc::operation_not_permitted once the body is
  ///                  over: nothing is sent then.
  /// Cancellation:    at any point; the connection is closed then, since a part may have been sent.
  /// Thread safety:   the connection's thread only; one write at a time.
  boost::asio::awaitable<result<>> async_write(context ctx, std::string bytes);

  struct sink;  // the connection's side
  explicit body_writer(std::shared_ptr<sink> to) noexcept : sink_(std::move(to)) {}

 private:
  std::shared_ptr<sink> sink_;
};

/// Writes the body of a streaming response; the body ends when it returns, and must not be written to by anything else
/// then: a write that is still under way cuts it off. Its context is the handler's,
/// which lives until then. If it throws, or its context has ended by then, the connection is closed: the
/// client sees a truncated body.
using body_source = std::function<boost::asio::awaitable<void>(context ctx, body_writer out)>;

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
  /// "HTTP/1.1 200 OK"
  [[nodiscard]] std::string status_line() const;
  [[nodiscard]] const http::fields& fields() const noexcept { return fields_; }
  [[nodiscard]] http::fields& fields() noexcept { return fields_; }
  [[nodiscard]] const std::string& body() const noexcept { return body_; }
  [[nodiscard]] std::string& body() noexcept { return body_; }

  response& set(std::string_view name, std::string_view value) {
    fields_.set(name, value);
    return *this;
  }
  /// Makes this a streaming response: chunked, or until the connection closes for HTTP/1.0.
  response& stream(body_source source) {
    source_ = std::move(source);
    return *this;
  }
  [[nodiscard]] const body_source& source() const noexcept { return source_; }

 private:
  http::status status_;
  http::fields fields_;
  std::string body_;
  body_source source_;
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
