#include <algorithm>
#include <curfew/core/done.hpp>
#include <curfew/sync/rate_limit.hpp>
#include <expected>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

// The bucket is one number: the time at which it is full again if nobody takes anything (the "theoretical
// arrival time" of ATM's generic cell rate algorithm). Whoever takes n tokens moves it on by the time in
// which n tokens come, from the present at the earliest; he may take them as soon as that is no further ahead
// than a whole bucket.
//
// Who has to wait is the first, or behind the first. The first sleeps until its time, which nothing but its
// own end can change. Those behind it have no timer: the first, when it leaves, gives their tokens to those
// whose time has come, and makes the next one the first. So one that gives up leaves no trace: its tokens
// were never counted.
//
// Invariants, under lock_
//  1. full_at_ stands for what has been taken. Who waits has taken nothing yet.
//  2. has_first_ is set exactly while somebody is the first. He is in no list. Where nobody is, behind_ is
//     empty.
//  3. asked_for_ counts the tokens of all who wait. (Who was canceled counts until his thread has seen it:
//     then who comes with a near deadline may be turned away for a moment longer.)
//  4. When somebody becomes the first, full_at_ is moved on to his arrival if it is before that: the bucket
//     was full then. So the time counts that he waits, be those who serve him late or not.
//
// Locks. lock_ alone. The clock, which may be the user's, is read before it; waiters are finished after it.

namespace curfew {

using detail::fine_time;

rate_limit::rate_limit(rate limit, std::uint32_t burst) : rate_(limit), burst_(burst) {
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
  while (auto* next = static_cast<detail::rate_entry*>(behind_.pop_claimed())) {
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

std::optional<error> rate_limit::refused(const context& ctx, std::uint32_t n) const {
  if (ctx.err()) return ended(ctx);
  if (n <= burst_) return std::nullopt;
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
  detail::thread_waiter w(ctx);
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
  if (ctx.err() || n > burst_) return false;
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
