#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core/after_func.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/redis/subscription.hpp>
#include <curfew/remote/errc.hpp>
#include <curfew/remote/hub.hpp>
#include <curfew/remote/ticket.hpp>
#include <curfew/sync/mutex.hpp>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "remote/loop.hpp"
#include "remote/scripts.hpp"

namespace curfew::remote {

/// The side of a hub that joins: hears of ends, and looks by itself where it may have missed something.
///
/// Invariants, all in the loop's thread:
/// 1. A message is a hint: it can only end what it names. That an origin lives is known from its key alone, or from a
///    message that has come; each moves `expires`, behind which there is no life without another sign.
/// 2. The channel of an origin is subscribed to before its key is read for a context that joins; what is told in between is
///    kept in `joining`. So no end falls between the two.
/// 3. A message whose number does not follow the one before it, a silence for longer than between two beats, and a new
///    subscription each lead to a look at the keys.
class watch {
 public:
  watch(hub_loop& loop, redis::client& client, const hub_options& options);

  boost::asio::awaitable<result<cancel_scope>> join(context own, std::string text);
  /// Until the loop ends.
  boost::asio::awaitable<void> look_on();
  /// Ends all that has joined.
  void close();

  [[nodiscard]] std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }

 private:
  struct joined {
    std::uint64_t id = 0;
    curfew::canceler canceler;
    std::optional<after_func_handle> ending;
    std::optional<clock::time_point> deadline;  // of the origin
  };
  struct joining {
    std::uint64_t number = 0;
    std::optional<std::string> end;
  };
  struct origin {
    std::string key;
    std::string server;  // the identity of the one that was looked into
    std::uint64_t count = 0;
    std::chrono::milliseconds lease{};
    clock::time_point expires;
    clock::time_point look_at = clock::time_point::max();
    std::optional<clock::time_point> unknown_since;  // when a server that may have lost it was seen first
    bool is_subscribed = false;
    std::unordered_multimap<std::uint64_t, joined> all;
    std::list<joining> joins;
  };
  using origin_ptr = std::shared_ptr<origin>;

  boost::asio::awaitable<result<>> subscribe(context ctx, origin_ptr to);
  boost::asio::awaitable<void> hear(std::shared_ptr<redis::subscription> from);
  boost::asio::awaitable<void> subscribe_again();
  void take(origin& from, std::string_view payload);

  boost::asio::awaitable<void> look(std::vector<origin_ptr> due);
  void judge(origin& of, const scripts::look_answer& answer, const std::vector<std::uint64_t>& numbers);
  void judge_silence(origin& of);
  void plan(origin& of, clock::time_point when);
  boost::asio::awaitable<void> leave_empty();

  context with_values(context own, const ticket& of) const;
  void keep(origin& of, std::uint64_t number, const cancel_scope& scope, std::optional<clock::duration> left);
  void on_end(const std::string& key, std::uint64_t number, std::uint64_t id);
  void end(origin& of, std::uint64_t number, std::string_view text);
  void end_all(origin& of, errc why);
  cause cause_of(std::string_view text) const;

  hub_loop& loop_;
  redis::client& client_;
  const hub_options& options_;
  std::unordered_map<std::string, origin_ptr> origins_;  // by their key
  std::shared_ptr<redis::subscription> subscription_;    // null: none, or lost
  bool is_subscribing_again_ = false;
  curfew::mutex subscribes_;
  alarm looking_;
  std::uint64_t last_id_ = 0;
  std::size_t starting_ = 0;
  std::atomic<std::size_t> count_{0};
};

}  // namespace curfew::remote
