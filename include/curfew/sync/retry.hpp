#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/outcome.hpp>
#include <curfew/sync/sleep.hpp>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace curfew {

/// How many retries there may be in all, shared by all calls to the same server: when it is down, a few
/// retries find that out, and the many that would follow do not make it worse.
///
///     curfew::retry_budget budget;                                 // one for each server, long-lived
///     auto policy = curfew::retry_policy().budget(budget);
///
/// Each retry takes a token, each success brings a part of one, up to a maximum, with which it begins. When
/// there is less than one left, no retries are made; first tries always are, and their successes fill it
/// again.
/// Thread safety:  any thread.
/// Source:         gRPC's retry throttling; Finagle's RetryBudget.
class retry_budget {
 public:
  /// \param retries_per_success  Tokens that a success brings, from 0 to 1, to three digits: 0.1 allows one
  ///                             retry for ten successes in the long run.
  /// \param most                 How many there may be.
  /// Throws: std::invalid_argument for anything else.
  explicit retry_budget(double retries_per_success = 0.1, std::uint32_t most = 10);
  retry_budget(const retry_budget&) = delete;
  retry_budget& operator=(const retry_budget&) = delete;
  ~retry_budget() = default;

  /// Something succeeded, be it at the first try.
  void deposit() noexcept;
  /// A retry is about to be made. \return whether it may.
  [[nodiscard]] bool withdraw() noexcept;
  /// It was not made after all.
  void give_back() noexcept;

  /// How many retries could be made at this moment.
  [[nodiscard]] std::uint32_t left() const noexcept;

 private:
  void add(std::uint64_t thousandths) noexcept;

  const std::uint64_t per_success_;  // in thousandths of a token, as are the next two
  const std::uint64_t most_;
  std::atomic<std::uint64_t> tokens_;  // relaxed throughout: nothing else is read by it
};

/// How often `retry` tries, and how long it waits in between. Each setter returns the policy, so they can be
/// chained; without an argument the same name returns what was set.
class retry_policy {
 public:
  /// Before the second try it waits for a random time of up to this much. Default: 100 ms.
  retry_policy& initial(clock::duration d) { return initial_ = d, *this; }
  [[nodiscard]] clock::duration initial() const noexcept { return initial_; }
  /// For each further try that limit grows by this factor. Default: 2. Throws: std::invalid_argument if it is
  /// less than 1.
  retry_policy& multiplier(double factor);
  [[nodiscard]] double multiplier() const noexcept { return multiplier_; }
  /// Beyond this it does not grow. Default: 10 s.
  retry_policy& max(clock::duration d) { return max_ = d, *this; }
  [[nodiscard]] clock::duration max() const noexcept { return max_; }
  /// How many tries there are, the first included; 0 counts as 1. Default: as many as ctx allows.
  retry_policy& max_tries(std::uint32_t count) { return max_tries_ = count, *this; }
  [[nodiscard]] std::optional<std::uint32_t> max_tries() const noexcept { return max_tries_; }
  /// Which errors are worth another try. Default: those that are transient().
  /// \param predicate  May be called in any thread that retries. What it throws comes out of `retry`.
  retry_policy& retry_if(std::function<bool(const error&)> predicate);
  [[nodiscard]] bool retries(const error& e) const;
  /// Decides whether there may be retries. It outlives the policy and all copies. Default: none, they may be.
  retry_policy& budget(retry_budget& shared) { return budget_ = &shared, *this; }
  [[nodiscard]] retry_budget* budget() const noexcept { return budget_; }
  /// Makes the random times the same in each call: for tests.
  retry_policy& seed(std::uint64_t number) { return seed_ = number, *this; }
  [[nodiscard]] std::optional<std::uint64_t> seed() const noexcept { return seed_; }

 private:
  clock::duration initial_ = std::chrono::milliseconds(100);
  clock::duration max_ = std::chrono::seconds(10);
  double multiplier_ = 2;
  std::optional<std::uint32_t> max_tries_;
  std::optional<std::uint64_t> seed_;
  std::shared_ptr<const std::function<bool(const error&)>> retry_if_;  // null: transient()
  retry_budget* budget_ = nullptr;
};

namespace detail {

/// The tries of one call of `retry`.
class retrying {
 public:
  retrying(const context& ctx, const retry_policy& policy);
  retrying(const retrying&) = delete;
  retrying& operator=(const retrying&) = delete;
  ~retrying() { give_back(); }

  /// Why there is no first try, if there is none.
  [[nodiscard]] std::optional<error> refused() const;
  void succeeded() noexcept;
  /// A try has failed.
  /// \return the error to give up with; none: there may be another try, after `wait()`.
  [[nodiscard]] std::optional<error> failed(error last);
  [[nodiscard]] clock::duration wait() const noexcept { return wait_; }
  /// That time has passed.
  /// \param slept  Or had to end before.
  /// \return the error to give up with, if it had to.
  [[nodiscard]] std::optional<error> waited(const result<>& slept);

 private:
  void next_wait() noexcept;
  void give_back() noexcept;
  [[nodiscard]] std::string and_the_last() const;

  const context& ctx_;
  const retry_policy& policy_;
  std::uint32_t tries_ = 0;
  double limit_;  // of the next wait, in ticks of the clock
  std::uint64_t random_;
  clock::duration wait_{};
  std::optional<error> last_;
  bool has_withdrawn_ = false;  // for a try that has not begun
};

}  // namespace detail

/// Calls `f(ctx)` until it succeeds or another try makes no sense:
///
///     auto page = curfew::retry(ctx, curfew::retry_policy().max_tries(5), [&](const curfew::context& ctx) {
///       auto one_try = curfew::with_timeout(ctx, 1s);
///       return fetch(one_try, url);                      // result<page>
///     });
///
/// It tries again after an error that is `transient()`, or as the policy's `retry_if` says. In between it waits on ctx's
/// clock for a random time between zero and a limit, which grows from try to try (exponential backoff with
/// full jitter), so that callers that failed together do not come back together. It does not begin what cannot
/// come to an end: where the wait would reach ctx's deadline it gives up at once.
///
/// \param f  Returns result<T>, result<> or std::error_code; what it throws comes out and is not tried again.
/// \return what the first try that succeeded returned, even if ctx has ended by then.
/// Errors:         the last error, with its code; after several tries, or where another one was not allowed,
///                 what was being done says so: "GET http://host/: connecting (3 tries)". Where ctx has
///                 ended, its end, with its cause; what was being done then tells of the last error. Had it
///                 ended before the first try, f is not called.
/// Cancellation:   f gets ctx and has to look at it; a wait ends at once. What was withdrawn from the budget
///                 for a try that is not made is given back.
/// Lifetime:       policy and f outlive the call.
/// Thread safety:  any thread; the policy is only read.
/// Source:         "Exponential Backoff And Jitter", AWS Architecture Blog; gRPC's retry policy.
template <class F>
  requires std::invocable<F&, const context&>
detail::outcome<F&> retry(const context& ctx, const retry_policy& policy, F&& f) {
  detail::retrying tries(ctx, policy);
  if (auto why = tries.refused()) return std::unexpected(*std::move(why));
  for (;;) {
    detail::outcome<F&> got = detail::call_with(f, ctx);
    if (got) {
      tries.succeeded();
      return got;
    }
    if (auto why = tries.failed(std::move(got).error())) return std::unexpected(*std::move(why));
    if (auto why = tries.waited(sleep_for(ctx, tries.wait()))) return std::unexpected(*std::move(why));
  }
}

}  // namespace curfew
