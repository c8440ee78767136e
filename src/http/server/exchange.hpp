#pragma once

#include <cstdint>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/intrusive_list.hpp>
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
/// - The client goes, the deadline passes, the shutdown ends it, the response is complete: the context's first end stays.
/// - The worker's list is read by other threads: it, and what `name()` and `describe()` read, change under the worker's
///   mutex only.
class exchange final : public detail::list_hook<> {
 public:
  enum class outcome {
    answered,     ///< The response has been sent.
    client_gone,  ///< It could not be sent.
  };

  exchange(worker& on, const peer& from);
  exchange(const exchange&) = delete;
  exchange& operator=(const exchange&) = delete;
  ~exchange() = default;  // not of a running one

  [[nodiscard]] http::request& request() noexcept { return *request_; }
  [[nodiscard]] const http::request& request() const noexcept { return *request_; }

  /// The header is complete since then, on the clock of the contexts: its time counts from there. If this is not called,
  /// it counts from begin().
  void header_came(clock::time_point when) noexcept { header_at_ = when; }
  /// Has the header say who asks; for a trusted peer.
  void ask_proxies(const host& nearest);
  /// Where the request goes. Valid until the end.
  const routing& find_route();

  /// Makes the context.
  /// \param asked  How long the client will wait, if it says so.
  /// \return false if its time is over: nothing has begun.
  bool begin(std::optional<clock::duration> asked);
  /// Of a running one: what its handler gets.
  [[nodiscard]] const context& ctx() const noexcept { return scope_->ctx(); }
  [[nodiscard]] bool is_running() const noexcept { return scope_.has_value(); }
  /// Ends the context; the exchange goes on until end().
  void client_gone() noexcept;
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
  worker& worker_;
  context holder_;  // a value in it is the request
  http::request* request_;
  std::optional<routing> where_;
  std::optional<clock::time_point> header_at_;

  // Changed under the worker's mutex.
  std::optional<cancel_scope> scope_;
  clock::time_point began_;
};

}  // namespace curfew::http
