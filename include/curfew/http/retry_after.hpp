#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <concepts>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/checked.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/message.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/sync/sleep.hpp>
#include <expected>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace curfew::http {

/// How long the server asks to wait before the next try: the answer's Retry-After, in both its forms. A date is measured
/// from the answer's Date, so clocks that differ do not matter, else from now.
/// \param most  No more than that.
/// \return none if there is no such field, or what it says is neither.
[[nodiscard]] std::optional<clock::duration> retry_after(const response& answer,
                                                         clock::duration most = std::chrono::hours(1));

/// A function for `curfew::retry` and `curfew::async_retry`, as `obeying_retry_after` makes it.
template <class F>
class retry_after_obeying {
  using answered = std::expected<response, call_error>;

 public:
  retry_after_obeying(F f, clock::duration most) : f_(std::move(f)), most_(most) {}

  result<response> operator()(const context& ctx)
    requires std::same_as<std::invoke_result_t<F&, const context&>, answered>
  {
    if (auto early = too_early(ctx)) return *std::move(early);
    if (const auto until = std::exchange(not_before_, std::nullopt)) {
      if (auto slept = sleep_until(ctx, *until); !slept) return std::move(slept).error();
    }
    return noted(ctx, f_(ctx));
  }

  boost::asio::awaitable<result<response>> operator()(context ctx)
    requires std::same_as<std::invoke_result_t<F&, context>, boost::asio::awaitable<answered>>
  {
    if (auto early = too_early(ctx)) co_return *std::move(early);
    if (const auto until = std::exchange(not_before_, std::nullopt)) {
      auto sleeping = async_sleep_until(ctx, *until);
      result<> slept = co_await std::move(sleeping);
      if (!slept) co_return std::move(slept).error();
    }
    auto trying = f_(ctx);
    answered got = co_await std::move(trying);
    co_return noted(ctx, std::move(got));
  }

 private:
  /// The last answer's wait reaches the deadline: there is no sense in it.
  [[nodiscard]] std::optional<error> too_early(const context& ctx) {
    const auto end = ctx.deadline();
    if (!not_before_ || !end || *not_before_ < *end) return std::nullopt;
    not_before_.reset();
    return error(errc::retry_too_late, why_);
  }
  [[nodiscard]] result<response> noted(const context& ctx, answered got) {
    if (got) return *std::move(got);
    const auto* const said = got.error().response();
    const auto wait = said != nullptr ? retry_after(*said, most_) : std::nullopt;
    if (!wait) return std::move(got).error();
    not_before_ = ctx.now() + *wait;
    why_ = got.error().message();
    if (auto early = too_early(ctx)) return *std::move(early);
    return std::move(got).error();
  }

  F f_;
  clock::duration most_;
  std::optional<clock::time_point> not_before_;
  std::string why_;
};

/// Has each try of `curfew::retry`, or `curfew::async_retry`, wait for as long as the answer to the try before has asked:
///
///     auto fetch = http::obeying_retry_after([&](const curfew::context& ctx) {
///       return http::checked(http::client::shared().get(ctx, url));
///     });
///     auto reply = curfew::retry(ctx, curfew::retry_policy().max_tries(5), fetch);
///
/// The wait counts from the answer, so retry's own is a part of it. Where it would reach the context's deadline, the call
/// fails at once with errc::retry_too_late, which is not transient; what was being done names the status.
///
/// \param f     Returns what `checked` does; or an awaitable of that, for async_retry: then it takes a context by value.
/// \param most  No wait is longer.
/// Thread safety: none; one for each call of retry.
template <class F>
[[nodiscard]] retry_after_obeying<F> obeying_retry_after(F f, clock::duration most = std::chrono::hours(1)) {
  return {std::move(f), most};
}

}  // namespace curfew::http
