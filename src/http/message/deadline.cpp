#include <algorithm>
#include <chrono>
#include <curfew/http/deadline.hpp>

namespace curfew::http {

namespace {

constexpr std::size_t max_digits = 8;
constexpr std::chrono::milliseconds largest{99'999'999};

}  // namespace

std::optional<std::string> timeout_to_send(const context& ctx) {
  const auto left = ctx.remaining();
  if (!left) return std::nullopt;
  // The comparison comes first: ceil() of the largest duration there is would overflow.
  const auto whole = *left >= largest ? largest : std::chrono::ceil<std::chrono::milliseconds>(*left);
  return std::to_string(std::max<std::chrono::milliseconds::rep>(whole.count(), 0));
}

std::optional<clock::duration> parse_timeout(std::string_view value) noexcept {
  if (value.empty() || value.size() > max_digits) return std::nullopt;
  std::chrono::milliseconds::rep number = 0;
  for (const char c : value) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  return std::chrono::milliseconds(number);
}

}  // namespace curfew::http
