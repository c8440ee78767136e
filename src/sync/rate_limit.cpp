#include <algorithm>
#include <curfew/core/done.hpp>
#include <curfew/sync/rate_limit.hpp>
#include <expected>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

// The bucket is one number: the time at which it is full again if nothing is taken (the "theoretical
// arrival time" of ATM's generic cell rate algorithm). Taking n tokens moves it on by the time in which n tokens
// come, from the present at the earliest. They may be taken as soon as that is no further ahead than a whole bucket.
//
// A wait is the first, or behind the first. The first sleeps until its time, which nothing but its own end can
// change. Those behind it have no timer: the first, when it leaves, gives their tokens to those whose time has
// come, and makes the next one the first. So one that gives up leaves no trace: its tokens were never counted.
//
// Invariants, under lock_
//  1. full_at_ stands for what has been taken. A wait has taken nothing yet.
//  2. has_first_ is set exactly while there is a first, which is in no list. Where there is none, behind_ is
//     empty.
//  3. asked_for_ counts the tokens of all waits. (One that was canceled counts until its thread has seen it: until
//     then a call with a near deadline may be turned away.)
//  4. When a wait becomes the first, full_at_ is moved on to its arrival if it is before that: the bucket
//     was full then. So the time that it waits counts, whether those before it leave late or not.
//  5. A wait whose context ended before its turn or its tokens came gets neither.
//
// Locks. lock_ alone. The clock, which may be the user's, is read before it; waiters are finished after it.

namespace curfew {

using detail::fine_time;

rate_limit::rate_limit(rate limit, std::uint32_t burst) : burst_(burst), rate_(limit) {
  if (burst == 0)
    throw std::invalid_argument("curfew::rate_limit: with a burst of 0 nothing could ever be taken");
}

fine_time rate_limit::fine(clock::time_point t) const noexcept {
  return fine_time{t.time_since_epoch().count()} * rate_.events();
}

/// In which so many tokens come.
fine_time rate_limit::tokens_time(std::uint64_t tokens) const noexcept {
  return static_cast<fine_time>(tokens) * rate_.per().count();
}

/// When so many tokens are there, if the bucket is full at `full`.
clock::time_point rate_limit::due(fine_time full, std::uint32_t tokens) const noexcept {
  const fine_time at = full - tokens_time(burst_ - tokens);
  const fine_time events = rate_.events();
  const fine_time rounded_up = at > 0 ? (at + events - 1) / events : 0;
  constexpr fine_time last = clock::time_point::max().time_since_epoch().count();
  return clock::time_point(clock::duration(static_cast<clock::rep>(std::min(rounded_up, last))));
}

rate_limit::step rate_limit::begin(const context& ctx, detail::rate_entry& e) {
  const auto deadline = ctx.deadline();
  const std::lock_guard guard(lock_);
  fine_time full = std::max(full_at_, fine(e.arrived));
  if (has_first_) full += tokens_time(asked_for_);
  e.due = due(full, e.tokens);
  if (!has_first_ && e.due <= e.arrived) {
    full_at_ = full + tokens_time(e.tokens);
    return step::taken;
  }
  if (deadline && e.due >= *deadline) return step::too_late;
  asked_for_ += e.tokens;
  if (has_first_) {
    behind_.push_back(e);
    return step::queued;
  }
  full_at_ = full;
  has_first_ = true;
  return step::first;
}

/// Its context has ended.
void rate_limit::leave_queue(detail::rate_entry& e) noexcept {
  const std::lock_guard guard(lock_);
  behind_.remove(e);
  asked_for_ -= e.tokens;
}

/// The first leaves, with its tokens or without.
void rate_limit::leave_front(std::uint32_t tokens, clock::time_point now, bool take) noexcept {
  detail::finish_list after;
  const std::lock_guard guard(lock_);
  asked_for_ -= tokens;
  if (take) full_at_ += tokens_time(tokens);
  has_first_ = false;
  while (auto* next = static_cast<detail::rate_entry*>(behind_.pop_granted())) {
    full_at_ = std::max(full_at_, fine(next->arrived));
    next->due = due(full_at_, next->tokens);
    after.add(*next);
    if (next->due > now) {
      has_first_ = true;
      return;
    }
    next->has_taken = true;
    full_at_ += tokens_time(next->tokens);
    asked_for_ -= next->tokens;
  }
}

bool rate_limit::is_too_much(std::uint32_t n) const noexcept {
  return n > burst_ && limit().per() != clock::duration::zero();
}

void rate_limit::set_rate(const context& ctx, rate limit) noexcept {
  const auto now = ctx.now();
  const std::lock_guard guard(lock_);
  // The tokens that are missing, which the new rate takes another time to bring. A few ns are lost by rounding.
  const fine_time until_full = std::max<fine_time>(full_at_ - fine(now), 0);
  const auto per = static_cast<long double>(rate_.per().count());
  const long double missing = per > 0 ? static_cast<long double>(until_full) / per : 0;
  rate_ = limit;
  full_at_ = fine(now) + static_cast<fine_time>(missing * static_cast<long double>(rate_.per().count()));
}

std::optional<error> rate_limit::refused(const context& ctx, std::uint32_t n) const {
  if (ctx.err()) return ended(ctx);
  if (!is_too_much(n)) return std::nullopt;
  return error(std::make_error_code(std::errc::invalid_argument),
               "rate limit: " + std::to_string(n) + " tokens of at most " + std::to_string(burst_));
}

error rate_limit::ended(const context& ctx) { return error::ended(ctx, "waiting for the rate limit"); }

error rate_limit::too_late() {
  return error(make_error_code(errc::deadline_exceeded),
               "rate limit: the tokens do not come before the deadline");
}

result<> rate_limit::acquire(const context& ctx, std::uint32_t n) {
  if (auto why = refused(ctx, n)) return std::unexpected(*std::move(why));
  if (n == 0) return {};
  detail::rate_entry e(n, ctx.now());
  detail::thread_waiter w(ctx, "rate limit");
  e.owner = &w;
  switch (begin(ctx, e)) {
    case step::taken:
      return {};
    case step::too_late:
      return std::unexpected(too_late());
    case step::queued:
      if (w.wait() == nullptr) {
        leave_queue(e);
        return std::unexpected(ended(ctx));
      }
      if (e.has_taken) return {};
      break;
    case step::first:
      break;
  }
  bool has_ended = true;
  try {
    has_ended = static_cast<bool>(ctx.done().wait_until(e.due));
  } catch (...) {
    leave_front(n, ctx.now(), false);
    throw;
  }
  leave_front(n, ctx.now(), !has_ended);
  if (has_ended) return std::unexpected(ended(ctx));
  return {};
}

bool rate_limit::try_acquire(const context& ctx, std::uint32_t n) {
  if (ctx.err() || is_too_much(n)) return false;
  if (n == 0) return true;
  const auto now = ctx.now();
  const std::lock_guard guard(lock_);
  if (has_first_) return false;
  const fine_time full = std::max(full_at_, fine(now));
  if (due(full, n) > now) return false;
  full_at_ = full + tokens_time(n);
  return true;
}

}  // namespace curfew
