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
#include <curfew/remote/hub.hpp>
#include <curfew/sync/mutex.hpp>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "remote/loop.hpp"
#include "remote/scripts.hpp"

namespace curfew::remote {

/// The side of a hub that shares: its lease, which one beat renews for all contexts, and what it tells of their ends.
///
/// Invariants, all in the loop's thread:
/// 1. `name_` is not empty from the answer that the lease is there until it is known to be lost; `generation_` changes with
///    it. What was begun for another generation changes nothing in this one.
/// 2. A context is in `living_` from the moment that Redis has it until it ends. Then it is in `ended_` until Redis knows,
///    and in `told_` for as long again as the lease: a process that missed the message reads the cause in the key.
/// 3. At most one coroutine sends ends, and one beats; a beat asked for out of turn waits for the other.
class lease {
 public:
  lease(hub_loop& loop, redis::client& client, const hub_options& options);

  boost::asio::awaitable<result<shared>> share(context ctx);
  /// Gives the lease back. Everything that is shared ends.
  boost::asio::awaitable<void> close();

  [[nodiscard]] std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }

 private:
  struct living {
    context ctx;
    curfew::canceler canceler;
    after_func_handle ending;
  };
  struct told {
    std::uint64_t number = 0;
    std::string text;
    clock::time_point at;
  };

  boost::asio::awaitable<result<>> open(context ctx);
  void keep(std::uint64_t number, const cancel_scope& scope);
  void on_end(std::uint64_t number);
  void tell(std::uint64_t number, std::string text);
  boost::asio::awaitable<void> tell_all();
  boost::asio::awaitable<void> beat_on(std::uint64_t generation);
  boost::asio::awaitable<void> beat(std::uint64_t generation);
  boost::asio::awaitable<bool> restore(std::uint64_t generation);
  void lose();

  [[nodiscard]] std::string key() const { return key_of(name_); }
  static std::string key_of(const std::string& name);

  hub_loop& loop_;
  redis::client& client_;
  const hub_options& options_;
  std::chrono::milliseconds duration_;
  std::string name_;
  std::string server_;  // the identity of the one that has the lease
  std::uint64_t generation_ = 0;
  std::uint64_t last_number_ = 0;
  std::unordered_map<std::uint64_t, living> living_;
  std::size_t starting_ = 0;
  std::deque<scripts::number_and_text> ended_;
  std::deque<told> told_;
  bool is_telling_ = false;
  clock::time_point due_;  // the next beat
  alarm beating_;
  curfew::mutex opens_;
  curfew::mutex beats_;
  std::atomic<std::size_t> count_{0};
};

}  // namespace curfew::remote
