#include "http/message/http_date.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace curfew::http {

namespace {

constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct parts {
  int year = 0;
  int month = 0;  // 1 to 12
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

/// Reads `text` as `form` says: each of Y, d, H, n, S is a digit of that part, "mmm" the name of a month, any other
/// character itself.
std::optional<parts> read(std::string_view text, std::string_view form) {
  if (text.size() != form.size()) return std::nullopt;
  parts out;
  for (std::size_t i = 0; i < form.size(); ++i) {
    int* into = nullptr;
    switch (form[i]) {
      case 'Y':
        into = &out.year;
        break;
      case 'd':
        into = &out.day;
        break;
      case 'H':
        into = &out.hour;
        break;
      case 'n':
        into = &out.minute;
        break;
      case 'S':
        into = &out.second;
        break;
      case 'm': {
        const auto at = std::ranges::find(months, text.substr(i, 3));
        if (at == months.end()) return std::nullopt;
        out.month = static_cast<int>(at - months.begin()) + 1;
        i += 2;
        continue;
      }
      default:
        if (text[i] != form[i]) return std::nullopt;
        continue;
    }
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    *into = *into * 10 + (text[i] - '0');
  }
  return out;
}

std::optional<std::chrono::sys_seconds> to_time(const parts& p) {
  using namespace std::chrono;
  const year_month_day date(year(p.year), month(static_cast<unsigned>(p.month)),
                            day(static_cast<unsigned>(p.day)));
  if (!date.ok() || p.hour > 23 || p.minute > 59 || p.second > 60) return std::nullopt;
  return sys_days(date) + hours(p.hour) + minutes(p.minute) + seconds(p.second);
}

/// Of the last two digits of a year: not more than 50 years ahead.
int full_year(int two_digits) {
  using namespace std::chrono;
  const int now = static_cast<int>(year_month_day(floor<days>(system_clock::now())).year());
  const int guess = now - now % 100 + two_digits;
  return guess > now + 50 ? guess - 100 : guess;
}

}  // namespace

std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text) {
  const auto comma = text.find(", ");
  if (comma == std::string_view::npos) {  // asctime
    if (text.size() != 24 || text[3] != ' ') return std::nullopt;
    std::string padded(text.substr(4));
    if (padded[4] == ' ') padded[4] = '0';
    const auto p = read(padded, "mmm dd HH:nn:SS YYYY");
    return p ? to_time(*p) : std::nullopt;
  }
  if (text.substr(0, comma).find_first_not_of("adehinorstuyFMSTW") != std::string_view::npos)
    return std::nullopt;
  text.remove_prefix(comma + 2);
  if (const auto p = read(text, "dd mmm YYYY HH:nn:SS GMT")) return to_time(*p);
  auto old = read(text, "dd-mmm-YY HH:nn:SS GMT");
  if (!old) return std::nullopt;
  old->year = full_year(old->year);
  return to_time(*old);
}

std::string to_http_date(std::chrono::sys_seconds when) {
  constexpr std::array<std::string_view, 7> weekdays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  const auto day = std::chrono::floor<std::chrono::days>(when);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(when - day);
  std::string out(weekdays[std::chrono::weekday(day).c_encoding()]);
  const auto two = [&out](auto number) {
    out += static_cast<char>('0' + number / 10 % 10);
    out += static_cast<char>('0' + number % 10);
  };
  out += ", ";
  two(unsigned(date.day()));
  out += ' ';
  out += months[unsigned(date.month()) - 1];
  out += ' ';
  two(int(date.year()) / 100);
  two(int(date.year()));
  out += ' ';
  two(time.hours().count());
  out += ':';
  two(time.minutes().count());
  out += ':';
  two(time.seconds().count());
  out += " GMT";
  return out;
}

}  // namespace curfew::http
