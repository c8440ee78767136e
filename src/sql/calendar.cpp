#include "sql/calendar.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <system_error>

namespace curfew::sql {

namespace {

/// Takes a number of exactly `size` digits from the front.
bool take(std::string_view& text, std::size_t size, unsigned& to) noexcept {
  if (text.size() < size) return false;
  const auto digits = text.substr(0, size);
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): its end is an argument
  const auto [end, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), to);
  if (wrong != std::errc() || end != digits.data() + digits.size()) return false;
  text.remove_prefix(size);
  return true;
}

bool take(std::string_view& text, char c) noexcept {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

/// Up to six digits of a fraction; more are cut off.
std::optional<std::chrono::microseconds> take_fraction(std::string_view& text) noexcept {
  std::chrono::microseconds::rep value = 0;
  std::size_t size = 0;
  for (; size != text.size() && text[size] >= '0' && text[size] <= '9'; ++size) {
    if (size < 6) value = value * 10 + (text[size] - '0');
  }
  if (size == 0) return std::nullopt;
  for (std::size_t i = size; i < 6; ++i) value *= 10;
  text.remove_prefix(size);
  return std::chrono::microseconds(value);
}

/// Nothing, "Z", "+02", "-03:30", "+00:53:28".
std::optional<std::chrono::seconds> take_offset(std::string_view& text) noexcept {
  if (text.empty() || take(text, 'Z')) return std::chrono::seconds(0);
  const bool is_west = take(text, '-');
  if (!is_west && !take(text, '+')) return std::nullopt;
  unsigned hours = 0;
  unsigned minutes = 0;
  unsigned seconds = 0;
  if (!take(text, 2, hours)) return std::nullopt;
  if (take(text, ':') && !take(text, 2, minutes)) return std::nullopt;
  if (take(text, ':') && !take(text, 2, seconds)) return std::nullopt;
  if (hours > 23 || minutes > 59 || seconds > 59) return std::nullopt;
  const auto east = std::chrono::hours(hours) + std::chrono::minutes(minutes) + std::chrono::seconds(seconds);
  return is_west ? -east : east;
}

}  // namespace

std::string as_text(timestamp at) {
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(at - day);
  std::array<char, 48> text{};
  const auto fraction = static_cast<long>(time.subseconds().count());
  const char* format =
      fraction == 0 ? "%04d-%02u-%02u %02ld:%02ld:%02ld" : "%04d-%02u-%02u %02ld:%02ld:%02ld.%06ld";
  const int size = std::snprintf(
      text.data(), text.size(), format, static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
      static_cast<unsigned>(date.day()), static_cast<long>(time.hours().count()),
      static_cast<long>(time.minutes().count()), static_cast<long>(time.seconds().count()), fraction);
  return {text.data(), static_cast<std::size_t>(size)};
}

std::optional<timestamp> parse_timestamp(std::string_view text) noexcept {
  unsigned year = 0;
  unsigned month = 0;
  unsigned day = 0;
  if (!take(text, 4, year) || !take(text, '-') || !take(text, 2, month) || !take(text, '-') ||
      !take(text, 2, day))
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (!date.ok()) return std::nullopt;
  timestamp at = std::chrono::sys_days(date);
  if (text.empty()) return at;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  if (!take(text, ' ') && !take(text, 'T')) return std::nullopt;
  if (!take(text, 2, hour) || !take(text, ':') || !take(text, 2, minute)) return std::nullopt;
  if (take(text, ':') && !take(text, 2, second)) return std::nullopt;
  if (hour > 23 || minute > 59 || second > 59) return std::nullopt;
  at += std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second);
  if (take(text, '.')) {
    const auto fraction = take_fraction(text);
    if (!fraction) return std::nullopt;
    at += *fraction;
  }
  const auto offset = take_offset(text);
  if (!offset || !text.empty()) return std::nullopt;
  return at - *offset;
}

}  // namespace curfew::sql
