#pragma once

#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <mutex>
#include <optional>
#include <stdexcept>

namespace curfew {

namespace detail {
struct rate_access;
}  // namespace detail

/// So many in so much time: `rate(100, 1s)`. Exact, whatever the two are: three a second are three a second.
class rate {
 public:
  /// Throws: std::invalid_argument if `events` is 0 or `per` is zero or less.
  constexpr rate(std::uint32_t events, clock::duration per) : events_(events), per_(per) {
    if (events == 0 || per <= clock::duration::zero())
      throw std::invalid_argument("curfew::rate: at least one event, in a time of more than zero");
  }
  /// One each `interval`.
  static constexpr rate every(clock::duration interval) { return {1, interval}; }
  /// As many as are asked for, whatever the burst.
  static constexpr rate unlimited() noexcept { return rate(clock::duration::zero()); }
  /// None, once the burst is used up.
  static constexpr rate none() noexcept { return rate(clock::duration::max()); }

  [[nodiscard]] constexpr std::uint32_t events() const noexcept { return events_; }
  [[nodiscard]] constexpr clock::duration per() const noexcept { return per_; }

 private:
  constexpr explicit rate(clock::duration per) noexcept : events_(1), per_(per) {}

  std::uint32_t events_;
  clock::duration per_;
};

namespace detail {

/// An instant, as the number of nanoseconds times the events of the rate: then the time that one event takes
/// is `per`, and nothing is rounded.
__extension__ typedef __int128 fine_time;  // NOLINT(modernize-use-using): an alias cannot be an extension

/// A wait for its turn at a rate_limit.
struct rate_entry final : wait_entry {
  const std::uint32_t tokens;
  const clock::time_point arrived;
  // Written before it is told that it is the first, or has its tokens:
  clock::time_point due;
  bool has_taken = false;

  rate_entry(std::uint32_t n, clock::time_point t) noexcept : tokens(n), arrived(t) {}
};

}  // namespace detail

/// Limits how often something is done, on the whole and at once: a bucket of at most `burst` tokens, full at
/// first, into which they come at a constant rate. So in any time `t` at most `burst + rate * t` are given.
///
///     curfew::rate_limit limit(curfew::rate(100, 1s), 10);
///     if (auto got = limit.acquire(ctx); !got) return got.error();  // does not wait if it would be too long
///     send(ctx, message);
///
/// First come, first served: nothing overtakes a wait, neither one for fewer tokens nor `try_acquire`. A thread that wakes late does not slow down those behind it: their tokens count as given at
/// their time.
///
/// What is canceled did not happen: an `acquire` that returns an error has taken nothing, and all of its
/// tokens go to the waits behind it, which move up; to later calls where nothing waits.
///
/// The time is that of the contexts: all of them live on the same clock. No thread and no timer runs while
/// nothing waits.
///
/// Lifetime:       outlives all calls.
/// Thread safety:  any thread.
/// Source:         golang.org/x/time/rate, where a wait that is canceled gives back only those of its tokens
///                 that are not reserved behind it, and those behind stay where they are.
class rate_limit {
 public:
  /// \param burst  How many tokens there are at most.
  /// Throws: std::invalid_argument if it is 0.
  rate_limit(rate limit, std::uint32_t burst);
  rate_limit(const rate_limit&) = delete;
  rate_limit& operator=(const rate_limit&) = delete;
  ~rate_limit() = default;

  /// Waits until `n` tokens are there and no wait is before it, and takes them. 0 takes none and does not
  /// wait.
  ///
  /// Completes when:  the tokens come, or ctx ends.
  /// Errors:          errc::deadline_exceeded at once if the tokens come at ctx's deadline or after it, as
  ///                  far as is known now: those before it may still give up. The end of ctx, with its cause.
  ///                  At once std::errc::invalid_argument if there are never so many tokens. Nothing is taken
  ///                  then.
  /// Cancellation:    takes nothing, and those behind move up.
  /// Throws:          as with_timeout; nothing is taken then.
  /// Cost:            no allocation if the tokens are there, else a timer; one further wake-up for a wait
  ///                  behind others.
  [[nodiscard]] result<> acquire(const context& ctx, std::uint32_t n = 1);

  /// Takes `n` tokens if they are there and nothing waits. Does not wait.
  /// \return false: nothing is taken, as when ctx has ended.
  [[nodiscard]] bool try_acquire(const context& ctx, std::uint32_t n = 1);

  /// From now on tokens come at another rate; how many there are stays. The first of the waits keeps its time, and
  /// those behind it get their tokens by the new rate.
  /// \param ctx  For its clock.
  void set_rate(const context& ctx, rate limit) noexcept;
  [[nodiscard]] rate limit() const noexcept {
    const std::lock_guard guard(lock_);
    return rate_;
  }
  [[nodiscard]] std::uint32_t burst() const noexcept { return burst_; }

 private:
  friend struct detail::rate_access;

  /// What `begin` says.
  enum class step { taken, too_late, first, queued };

  /// Why there is no wait for `n` tokens, if so.
  [[nodiscard]] std::optional<error> refused(const context& ctx, std::uint32_t n) const;
  [[nodiscard]] static error ended(const context& ctx);
  [[nodiscard]] static error too_late();
  step begin(const context& ctx, detail::rate_entry& e);
  void leave_queue(detail::rate_entry& e) noexcept;
  void leave_front(std::uint32_t tokens, clock::time_point now, bool take) noexcept;

  [[nodiscard]] detail::fine_time fine(clock::time_point t) const noexcept;
  [[nodiscard]] detail::fine_time tokens_time(std::uint64_t tokens) const noexcept;
  [[nodiscard]] clock::time_point due(detail::fine_time full, std::uint32_t tokens) const noexcept;

  /// So many tokens are never there.
  [[nodiscard]] bool is_too_much(std::uint32_t n) const noexcept;

  const std::uint32_t burst_;
  mutable detail::spin_lock lock_;

  // Guarded by lock_; see rate_limit.cpp
  rate rate_;
  detail::fine_time full_at_ = 0;
  std::uint64_t asked_for_ = 0;
  bool has_first_ = false;
  detail::wait_list behind_;
};

namespace detail {

/// Extension interface: the asynchronous twin in io takes the same steps as `acquire` does.
struct rate_access {
  static std::optional<error> refused(const rate_limit& limit, const context& ctx, std::uint32_t tokens) {
    return limit.refused(ctx, tokens);
  }
  static error ended(const context& ctx) { return rate_limit::ended(ctx); }
  static error too_late() { return rate_limit::too_late(); }
  using step = rate_limit::step;
  static step begin(rate_limit& limit, const context& ctx, rate_entry& e) { return limit.begin(ctx, e); }
  static void leave_queue(rate_limit& limit, rate_entry& e) noexcept { limit.leave_queue(e); }
  static void leave_front(rate_limit& limit, std::uint32_t tokens, clock::time_point now,
                          bool take) noexcept {
    limit.leave_front(tokens, now, take);
  }
  /// How many tokens the waits ask for.
  static std::uint64_t asked_for(const rate_limit& limit) noexcept {
    const std::lock_guard guard(limit.lock_);
    return limit.asked_for_;
  }
};

}  // namespace detail

}  // namespace curfew
