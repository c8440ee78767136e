#include <algorithm>
#include <chrono>
#include <cstdint>
#include <curfew/http/retry_after.hpp>
#include <string_view>

#include "http/message/http_date.hpp"
#include "http/message/syntax.hpp"

namespace curfew::http {

std::optional<clock::duration> retry_after(const response& answer, clock::duration most) {
  using std::chrono::seconds;
  const auto text = answer.fields().find("Retry-After");
  if (!text || text->empty()) return std::nullopt;
  const seconds bound = std::chrono::duration_cast<seconds>(most);
  const auto bounded = [&](seconds asked) -> clock::duration {
    if (asked > bound) return most;
    return std::max(asked, seconds(0));
  };
  if (text->find_first_not_of("0123456789") == std::string_view::npos) {
    const auto number = parse_number<std::uint64_t>(*text);
    // More digits than fit are a long time, too.
    const auto longest = static_cast<std::uint64_t>(std::max(bound, seconds(0)).count()) + 1;
    return bounded(seconds(static_cast<std::int64_t>(std::min(number.value_or(longest), longest))));
  }
  const auto at = parse_http_date(*text);
  if (!at) return std::nullopt;
  const auto date = answer.fields().find("Date");
  const auto sent = date ? parse_http_date(*date) : std::nullopt;
  const auto now = std::chrono::time_point_cast<seconds>(std::chrono::system_clock::now());
  return bounded(*at - sent.value_or(now));
}

}  // namespace curfew::http
