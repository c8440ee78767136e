#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/http/message.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string_view>
#include <utility>

namespace curfew::http {

/// Answers one request. `ctx` ends when the client goes away, when the deadline that came with the request or
/// the server's limit passes, at shutdown, and when the response has been sent. `request` lives as long as
/// `ctx` does. A handler that throws is answered with 500.
///
/// **It must not block its thread**, which serves other clients and tells `ctx` that this one has gone: what it
/// waits for it has to `co_await`. A plain function that blocks or computes becomes a handler with
/// `http::blocking(f)`.
using handler = std::function<boost::asio::awaitable<response>(context ctx, const request& request)>;

/// Makes a handler of a handler, to do something before or after it: `outer = wrap(inner)`.
using wrapper = std::function<handler(handler inner)>;

/// How one route is served. Each setter returns the options, so they can be chained.
class route_options {
 public:
  /// Takes the server's max_request_time off this route: for streams that live as long as their client, such
  /// as server-sent events. A deadline that came with the request still holds.
  route_options& no_time_limit() noexcept { return time_limit_ = false, *this; }
  [[nodiscard]] bool has_time_limit() const noexcept { return time_limit_; }
  /// Calls the handler when the header has come, and leaves the body to it: `request.reader()` reads it, see body_reader.
  route_options& stream_body() noexcept { return stream_body_ = true, *this; }
  [[nodiscard]] bool streams_body() const noexcept { return stream_body_; }
  /// Largest body, in bytes, instead of the server's.
  route_options& max_body_size(std::uint64_t bytes) noexcept { return max_body_size_ = bytes, *this; }
  [[nodiscard]] std::optional<std::uint64_t> max_body_size() const noexcept { return max_body_size_; }
  /// Its requests, and what works for them, are no tasks: inspection does not see them. For what looks at tasks itself.
  route_options& no_task() noexcept { return is_task_ = false, *this; }
  [[nodiscard]] bool is_task() const noexcept { return is_task_; }

 private:
  bool time_limit_ = true;
  bool is_task_ = true;
  bool stream_body_ = false;
  std::optional<std::uint64_t> max_body_size_;
};

/// A file that is part of the program.
struct static_file {
  std::string_view path;  ///< Below the prefix, without a leading slash: "app.js".
  std::string_view content_type;
  std::string_view content;
};

/// Finds the handler for a request. A pattern is a path whose segments are literal or `{name}`, which stands
/// for one non-empty segment: "/packages/{name}". Literal segments win over `{name}`.
///
/// A path that no pattern matches gets 404; a path that matches under another method, 405 with Allow. HEAD is
/// answered by the GET handler without the body; OPTIONS by Allow.
/// Filled before the server starts; a value: the server keeps a copy.
class router {
 public:
  router();
  router(const router&);
  router(router&&) noexcept;
  router& operator=(router) noexcept;
  ~router();

  /// \param where  What `inspect` shows as the place where its requests began.
  /// Throws: std::invalid_argument if the pattern is malformed or is already there for this method.
  router& add(std::string_view method, std::string_view pattern, handler h, route_options options = {},
              std::source_location where = std::source_location::current());
  router& get(std::string_view pattern, handler h, route_options options = {},
              std::source_location where = std::source_location::current()) {
    return add("GET", pattern, std::move(h), options, where);
  }
  router& post(std::string_view pattern, handler h, route_options options = {},
               std::source_location where = std::source_location::current()) {
    return add("POST", pattern, std::move(h), options, where);
  }
  router& put(std::string_view pattern, handler h, route_options options = {},
              std::source_location where = std::source_location::current()) {
    return add("PUT", pattern, std::move(h), options, where);
  }
  router& del(std::string_view pattern, handler h, route_options options = {},
              std::source_location where = std::source_location::current()) {
    return add("DELETE", pattern, std::move(h), options, where);
  }

  /// Wraps everything that the router answers: the handlers of all routes, those already there and those
  /// added later, and its own answers with 400, 404, 405 and to OPTIONS. So a gate in front of the router sees
  /// each request, and fields set on the way out are on each response. The wrapper of the last call is the
  /// outermost.
  ///
  ///     http::router routes;
  ///     routes.around(require_login).get("/hello/{name}", hello);
  router& around(wrapper wrap);

  /// Serves files of the program below `prefix`; "index.html" also as the prefix itself. With ETag and 304.
  router& files(std::string_view prefix, std::span<const static_file> files,
                std::source_location where = std::source_location::current());

  /// Adds the routes of another router, as they are wrapped there, below `prefix`: "/tasks" becomes "/debug/tasks". Where
  /// the other has a "/", `prefix` itself redirects to it, so that the links of its page lead somewhere.
  ///
  ///     http::router routes;
  ///     http::router inner;
  ///     inner.get("/hello/{name}", hello);
  ///     routes.mount("/debug", inner);  // "/debug/hello/{name}"
  ///
  /// \param prefix  Literal segments, "/debug/curfew"; "/": as they are.
  /// Throws: std::invalid_argument as `add`; the routes before the one that was refused are there.
  router& mount(std::string_view prefix, const router& other);

  struct table;

 private:
  friend struct router_access;
  std::unique_ptr<table> table_;
};

}  // namespace curfew::http
