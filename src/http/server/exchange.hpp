#pragma once

#include <cstdint>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/intrusive_list.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/http/message.hpp>
#include <optional>
#include <string>

#include "http/server/peer.hpp"
#include "http/server/router_table.hpp"

namespace curfew::http {

class worker;

/// One request and its life: from the connection's readiness for it to its one outcome.
///
///     awaited ──header_came()──► known ──begin()──► running ──end(outcome)──► over
///        │                        │               └──leave_behind()──► left behind ──end(), its handler has returned──► over
///        └────────────────────────┴── destroyed: refused, answered by the router, or the client has gone
///
/// The connection moves it, in the worker's thread. Only a running one has a context, and is in the worker's list, where
/// a shutdown and the loop_watch find it. It runs until its response has been sent, or cannot be any more.
///
/// The request lives in a value of the contexts: as long as a copy of one lives, and so longer than this where a handler
/// keeps one.
///
/// Races:
/// - A shutdown ends all contexts while begin() makes one: `ending` is set before the contexts are collected, and read
///   after this one is in the list. So one of the two finds it.
/// - The deadline passes, and the handler answers it or does not: a second later the connection answers 503 and leaves the
///   handler behind, or the response has begun. Both are the worker's thread's: there is one answer.
/// - The client goes, the deadline passes, the shutdown ends it, the response is complete: the context's first end stays.
/// - The worker's list is read by other threads: it, and what `name()` and `describe()` read, change under the worker's
///   mutex only.
class exchange final : public detail::list_hook<> {
 public:
  enum class outcome {
    answered,     ///< The response has been sent.
    client_gone,  ///< It could not be sent.
    left_behind,  ///< The server has answered for its handler.
  };

  exchange(worker& on, const peer& from);
  exchange(const exchange&) = delete;
  exchange& operator=(const exchange&) = delete;
  ~exchange() { let_go_of_body(); }  // not of a running one

  [[nodiscard]] http::request& request() noexcept { return *request_; }
  [[nodiscard]] const http::request& request() const noexcept { return *request_; }

  /// The header is complete since then, on the clock of the contexts: its time counts from there. If this is not called,
  /// it counts from begin().
  void header_came(clock::time_point when) noexcept { header_at_ = when; }
  /// Has the header name the client; for a trusted peer.
  void ask_proxies(const peer& nearest);
  /// Where the request goes. Valid until the end.
  const routing& find_route();

  /// Counts what there is of the body among those of all requests.
  /// \return false if that is more than the server may keep.
  [[nodiscard]] bool count_body() noexcept;
  void let_go_of_body() noexcept;

  /// Makes the context.
  /// \param asked  How long the client will wait, if it says so.
  /// \return false if its time is over: nothing has begun.
  /// \param lane   The connection's, in which its task nests.
  bool begin(std::optional<clock::duration> asked, detail::task_ref lane);
  /// Of a running one: what its handler gets.
  [[nodiscard]] const context& ctx() const noexcept { return scope_->ctx(); }
  [[nodiscard]] bool is_running() const noexcept { return scope_.has_value(); }
  /// Ends the context; the exchange goes on until end().
  void client_gone() noexcept;
  /// Of a running one: has its deadline passed by so much that the handler will not answer it?
  [[nodiscard]] bool is_overdue() const noexcept;
  void leave_behind() noexcept { left_behind_ = true; }
  [[nodiscard]] bool is_left_behind() const noexcept { return left_behind_; }
  void end(outcome how) noexcept;

  /// Tells the server's owner.
  void complain(std::string_view what) const;

  // Under the worker's mutex, any thread; of a running one.

  [[nodiscard]] curfew::canceler canceler() const { return scope_->canceler(); }
  /// "GET /disk?root=/usr, 12.3 s"
  [[nodiscard]] std::string describe(clock::time_point now) const;
  /// "GET /disk/{name}"
  [[nodiscard]] std::string name() const;

 private:
  [[nodiscard]] context traced() const;
  void show(detail::task_ref lane);

  worker& worker_;
  context holder_;  // a value in it is the request
  http::request* request_;
  std::optional<routing> where_;
  std::optional<clock::time_point> header_at_;
  std::size_t counted_ = 0;  // bytes of the body
  bool left_behind_ = false;

  detail::open_task shown_;  // by inspection, while it runs
  std::optional<detail::nested> in_lane_;

  // Changed under the worker's mutex.
  std::optional<cancel_scope> scope_;
  clock::time_point began_;
};

}  // namespace curfew::http
