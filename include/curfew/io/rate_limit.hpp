#pragma once

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/compose.hpp>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/detail/async_wait.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/sync/rate_limit.hpp>
#include <expected>
#include <optional>
#include <tuple>
#include <utility>

namespace curfew {

namespace detail {

/// The first place in the queue of a rate_limit. When it is destroyed the next one moves up; no tokens are taken.
class rate_front {
 public:
  rate_front() = default;
  rate_front(rate_limit& of, const rate_entry& e, context ctx) noexcept
      : limit_(&of),
        tokens_(e.tokens),
        due_(e.due),
        ctx_(std::move(ctx)) {}
  rate_front(rate_front&& other) noexcept
      : limit_(std::exchange(other.limit_, nullptr)),
        tokens_(other.tokens_),
        due_(other.due_),
        ctx_(std::move(other.ctx_)) {}
  rate_front& operator=(rate_front&&) = delete;
  ~rate_front() { leave(false); }

  [[nodiscard]] clock::time_point due() const noexcept { return due_; }
  void leave(bool take) noexcept {
    if (rate_limit* of = std::exchange(limit_, nullptr))
      rate_access::leave_front(*of, tokens_, ctx_->now(), take);
  }

 private:
  rate_limit* limit_ = nullptr;
  std::uint32_t tokens_ = 0;
  clock::time_point due_;
  std::optional<context> ctx_;
};

/// The wait for the first place. Gives no rate_front where the tokens have been taken already.
class async_rate_queue {
 public:
  using given = result<std::optional<rate_front>>;

  async_rate_queue(rate_limit& of, std::uint32_t tokens, context ctx) noexcept
      : limit_(&of),
        ctx_(std::move(ctx)),
        entry_(tokens, ctx_.now()) {}
  async_rate_queue(async_rate_queue&& other) noexcept
      : limit_(other.limit_),
        ctx_(std::move(other.ctx_)),
        entry_(other.entry_.tokens, other.entry_.arrived) {}

  static bool try_now() noexcept { return false; }
  [[nodiscard]] static const char* what() noexcept { return "rate limit"; }
  bool enlist(waiter& w) {
    refused_ = rate_access::refused(*limit_, ctx_, entry_.tokens);
    if (refused_ || entry_.tokens == 0) return false;
    entry_.owner = &w;
    step_ = rate_access::begin(*limit_, ctx_, entry_);
    if (step_ == rate_access::step::too_late) refused_ = rate_access::too_late();
    return step_ == rate_access::step::queued;
  }
  void delist(const wait_entry* by) noexcept {
    if (by == nullptr) rate_access::leave_queue(*limit_, entry_);
  }
  std::tuple<given> outcome(const context& ctx, bool happened) {
    if (!happened) {
      if (ctx.err()) return std::unexpected(rate_access::ended(ctx));
      return std::unexpected(error(make_error_code(errc::canceled), "waiting for the rate limit"));
    }
    if (refused_) return std::unexpected(*std::move(refused_));
    return given(front());
  }
  void undo() noexcept { front().reset(); }

 private:
  std::optional<rate_front> front() noexcept {
    if (step_ != rate_access::step::first && (step_ != rate_access::step::queued || entry_.has_taken))
      return std::nullopt;
    return rate_front(*limit_, entry_, ctx_);
  }

  rate_limit* limit_;
  context ctx_;
  rate_entry entry_;
  rate_access::step step_ = rate_access::step::taken;
  std::optional<error> refused_;
};

/// Waits for the first place, then for the tokens.
class rate_acquired {
 public:
  rate_acquired(context ctx, rate_limit& from, std::uint32_t tokens) noexcept
      : ctx_(std::move(ctx)),
        limit_(&from),
        tokens_(tokens) {}

  template <class Self>
  void operator()(Self& self) {
    self.reset_cancellation_state(boost::asio::enable_total_cancellation());
    async_rate_queue queue(*limit_, tokens_, ctx_);
    context ctx = ctx_;
    initiate_wait<void(async_rate_queue::given)>(std::move(self), std::move(ctx), std::move(queue));
  }
  template <class Self>
  void operator()(Self& self, async_rate_queue::given got) {
    if (!got || !*got) {
      self.complete(got ? result<>() : result<>(std::unexpected(std::move(got).error())));
      return;
    }
    if (self.cancelled() != boost::asio::cancellation_type::none) {  // between the two waits
      got->reset();
      self.complete(std::unexpected(error(make_error_code(errc::canceled), "waiting for the rate limit")));
      return;
    }
    front_.emplace(**std::move(got));
    context ctx = ctx_;
    const clock::time_point due = front_->due();
    async_sleep_until(std::move(ctx), due, std::move(self));
  }
  template <class Self>
  void operator()(Self& self, const result<>& slept) {
    front_->leave(slept.has_value());
    if (slept) return self.complete({});
    self.complete(std::unexpected(ctx_.err() ? rate_access::ended(ctx_)
                                             : error(slept.error().code(), "waiting for the rate limit")));
  }

 private:
  context ctx_;
  rate_limit* limit_;
  std::uint32_t tokens_;
  std::optional<rate_front> front_;
};

}  // namespace detail

/// Takes tokens of a rate_limit: `auto got = co_await curfew::async_acquire(ctx, limit);`
///
/// Completes when:  the tokens come, first come, first served, among coroutines and threads; with result<>.
/// Errors:          those of `rate_limit::acquire`. Nothing is taken then.
/// Cancellation:    by ctx, or Asio's per-operation cancellation (errc::canceled): takes nothing, and those
///                  behind move up.
/// Lifetime:        the rate_limit lives until completion. Where the operation is destroyed with its
///                  io_context those behind move up, too; tokens that it has been granted by then are gone.
/// Thread safety:   any thread may start it; the handler runs on its own executor, never inside this call.
///                  Those behind wait for as long as that executor is kept from running.
template <class Token = default_token>
auto async_acquire(context ctx, rate_limit& from, std::uint32_t n = 1, Token&& token = {}) {
  return boost::asio::async_compose<Token, void(result<>)>(detail::rate_acquired(std::move(ctx), from, n),
                                                           token);
}

}  // namespace curfew
