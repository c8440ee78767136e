#pragma once

#include <curfew/core/context.hpp>
#include <curfew/http/message.hpp>
#include <curfew/http/router.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <functional>

namespace curfew::http {

/// A handler that is a plain function: it may block and compute. `ctx` and `request` are those of a `handler`.
using blocking_handler = std::function<response(const context& ctx, const request& request)>;

/// Makes a handler of a plain function, which runs on a thread of the pool:
///
///     http::router routes;
///     routes.get("/digest/{name}", http::blocking(digest));
///
/// The connection's thread goes on meanwhile: it serves other clients, and ends `ctx` when this one goes away,
/// when the deadline passes, at shutdown. `f` has to look at `ctx`, or to hand it to what it waits for; it is
/// not interrupted otherwise, and the server's destructor waits for it.
///
/// Completes when:  `f` has returned; or `ctx` ends while `f` still waits for a thread of the pool.
/// Errors:          what `f` throws is answered with 500, as for any handler. Where `f` was not started in time:
///                  504 after a deadline, else 503.
/// Lifetime:        `f` is moved, and shared by all requests; the pool must outlive the server.
/// Thread safety:   `f` is called by several threads at a time.
[[nodiscard]] handler blocking(blocking_handler f);
[[nodiscard]] handler blocking(thread_pool& pool, blocking_handler f);

}  // namespace curfew::http
