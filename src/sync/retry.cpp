#include <algorithm>
#include <cmath>
#include <curfew/sync/retry.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace curfew {

namespace {

constexpr std::uint64_t token = 1000;  // of a retry_budget

std::uint64_t in_thousandths(double retries_per_success) {
  if (!(retries_per_success >= 0 && retries_per_success <= 1))
    throw std::invalid_argument("curfew::retry_budget: a success brings from 0 to 1 retries");
  return static_cast<std::uint64_t>(std::lround(retries_per_success * static_cast<double>(token)));
}

/// The next number of a sequence (splitmix64).
std::uint64_t next_random(std::uint64_t& state) noexcept {
  std::uint64_t x = state += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

std::uint64_t any_seed() {
  static thread_local std::uint64_t state =
      (std::uint64_t{std::random_device{}()} << 32) | std::random_device{}();
  return next_random(state);
}

std::string counted(std::uint32_t tries) { return std::to_string(tries) + (tries == 1 ? " try" : " tries"); }

/// `e` with a remark on what was being done.
error with_remark(const error& e, const std::string& remark) {
  return error(e.code(), e.doing().empty() ? remark : e.doing() + " (" + remark + ")", e.cause());
}

}  // namespace

retry_budget::retry_budget(double retries_per_success, std::uint32_t most)
    : per_success_(in_thousandths(retries_per_success)),
      most_(most * token),
      tokens_(most_) {
  if (most == 0) throw std::invalid_argument("curfew::retry_budget: with at most 0 there is never a retry");
}

void retry_budget::add(std::uint64_t thousandths) noexcept {
  for (std::uint64_t seen = tokens_.load(std::memory_order_relaxed); seen < most_;) {
    if (tokens_.compare_exchange_weak(seen, std::min(seen + thousandths, most_), std::memory_order_relaxed))
      return;
  }
}

void retry_budget::deposit() noexcept { add(per_success_); }

void retry_budget::give_back() noexcept { add(token); }

bool retry_budget::withdraw() noexcept {
  std::uint64_t seen = tokens_.load(std::memory_order_relaxed);
  do {
    if (seen < token) return false;
  } while (!tokens_.compare_exchange_weak(seen, seen - token, std::memory_order_relaxed));
  return true;
}

std::uint32_t retry_budget::left() const noexcept {
  return static_cast<std::uint32_t>(tokens_.load(std::memory_order_relaxed) / token);
}

retry_policy& retry_policy::multiplier(double factor) {
  if (!(factor >= 1 && std::isfinite(factor)))
    throw std::invalid_argument("curfew::retry_policy: the multiplier has to be a number from 1 up");
  multiplier_ = factor;
  return *this;
}

retry_policy& retry_policy::retry_if(std::function<bool(const error&)> predicate) {
  retry_if_ = std::make_shared<const std::function<bool(const error&)>>(std::move(predicate));
  return *this;
}

bool retry_policy::retries(const error& e) const { return retry_if_ ? (*retry_if_)(e) : e.transient(); }

namespace detail {

retrying::retrying(const context& ctx, const retry_policy& policy)
    : ctx_(ctx),
      policy_(policy),
      limit_(static_cast<double>(std::max(policy.initial(), clock::duration::zero()).count())),
      random_(policy.seed() ? *policy.seed() : any_seed()) {}

std::optional<error> retrying::refused() const {
  if (ctx_.err()) return error::ended(ctx_, "before the first try");
  return std::nullopt;
}

void retrying::succeeded() noexcept {
  if (policy_.budget() != nullptr) policy_.budget()->deposit();
}

/// A random time up to the limit, which then grows.
void retrying::next_wait() noexcept {
  const auto most = static_cast<double>(std::max(policy_.max(), clock::duration::zero()).count());
  limit_ = std::min(limit_, most);
  const double part = static_cast<double>(next_random(random_) >> 11) * 0x1p-53;  // from 0, below 1
  wait_ = clock::duration(static_cast<clock::rep>(limit_ * part));
  limit_ *= policy_.multiplier();
}

void retrying::give_back() noexcept {
  if (std::exchange(has_withdrawn_, false)) policy_.budget()->give_back();
}

std::string retrying::and_the_last() const { return counted(tries_) + ", the last: " + last_->message(); }

std::optional<error> retrying::failed(error last) {
  ++tries_;
  last_ = std::move(last);
  const auto several = [&](error e) { return tries_ == 1 ? std::move(e) : with_remark(e, counted(tries_)); };
  if (ctx_.err()) {
    // If it was the end that made the try fail, it says best what was being done.
    if (last_->code() == ctx_.err()) return several(error::ended(ctx_, last_->doing()));
    return error::ended(ctx_, and_the_last());
  }
  if (!policy_.retries(*last_) || (policy_.max_tries() && tries_ >= *policy_.max_tries()))
    return several(*last_);
  next_wait();
  if (const auto left = ctx_.remaining(); left && wait_ >= *left)
    return with_remark(*last_, counted(tries_) + ", the deadline comes before the next");
  if (policy_.budget() != nullptr) {
    if (!policy_.budget()->withdraw())
      return with_remark(*last_, counted(tries_) + ", the retry budget is used up");
    has_withdrawn_ = true;
  }
  return std::nullopt;
}

std::optional<error> retrying::waited(const result<>& slept) {
  if (slept) {
    has_withdrawn_ = false;
    return std::nullopt;
  }
  give_back();
  const std::string doing = "waiting for another try (" + and_the_last() + ")";
  return ctx_.err() ? error::ended(ctx_, doing) : error(slept.error().code(), doing);
}

}  // namespace detail

}  // namespace curfew
