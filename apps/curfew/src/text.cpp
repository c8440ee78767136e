#include "text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cwchar>
#include <utility>

namespace curfew_program {

namespace {

struct character {
  char32_t code;
  std::size_t length;
  bool valid;
};

/// The character at the beginning of `bytes`, which has one.
character first_of(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return {first, 1, true};
  std::size_t more = 0;
  // The range of the second byte excludes overlong forms, surrogates and what is beyond U+10FFFF.
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  char32_t code = 0;
  if (first >= 0xC2 && first <= 0xDF) {
    more = 1;
    code = first & 0x1FU;
  } else if (first >= 0xE0 && first <= 0xEF) {
    more = 2;
    code = first & 0x0FU;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    more = 3;
    code = first & 0x07U;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return {0xFFFD, 1, false};
  }
  for (std::size_t i = 1; i <= more; ++i) {
    if (i >= bytes.size() || at(i) < low || at(i) > high) return {0xFFFD, i, false};
    low = 0x80;
    high = 0xBF;
    code = code << 6U | (at(i) & 0x3FU);
  }
  return {code, more + 1, true};
}

using range = std::pair<char32_t, char32_t>;

/// What shows nothing or reorders what is around it. Joiners (U+200C, U+200D) stay: scripts need them.
constexpr std::array invisible{range{0x00, 0x1f},     range{0x7f, 0x9f},     range{0xad, 0xad},
                               range{0x61c, 0x61c},   range{0x180e, 0x180e}, range{0x200b, 0x200b},
                               range{0x200e, 0x200f}, range{0x2028, 0x202e}, range{0x2060, 0x206f},
                               range{0xfeff, 0xfeff}, range{0xfff9, 0xfffb}, range{0xe0000, 0xe0fff}};

bool is_invisible(char32_t code) {
  const auto holds = [code](const range& r) { return code >= r.first && code <= r.second; };
  return std::ranges::any_of(invisible, holds) || (code & 0xFFFEU) == 0xFFFEU;
}

std::string spelled(char32_t code) {
  if (code == '\t') return "\\t";
  if (code == '\n') return "\\n";
  if (code == '\r') return "\\r";
  std::array<char, 16> made{};
  std::snprintf(made.data(), made.size(), code < 0x100 ? "\\x%02x" : "\\u{%x}", static_cast<unsigned>(code));
  return made.data();
}

std::size_t columns_of(char32_t code) {
  const int columns = ::wcwidth(static_cast<wchar_t>(code));
  return columns < 0 ? 1 : static_cast<std::size_t>(columns);
}

template <class... Numbers>
std::string formatted(const char* how, Numbers... numbers) {
  std::array<char, 64> made{};
  std::snprintf(made.data(), made.size(), how, numbers...);
  return made.data();
}

constexpr double shortest_of_minutes = 59'950;

/// A console may send any number.
double sane(double ms) { return std::isfinite(ms) ? std::clamp(ms, 0.0, 1e15) : 0; }

}  // namespace

std::string printable(std::string_view foreign, std::size_t most) {
  std::string made;
  for (std::size_t seen = 0; !foreign.empty();) {
    const character next = first_of(foreign);
    seen += next.length;
    if (seen > most) return made += "…";
    if (!next.valid) {
      made += "\uFFFD";
    } else if (is_invisible(next.code)) {
      made += spelled(next.code);
    } else {
      made += foreign.substr(0, next.length);
    }
    foreign.remove_prefix(next.length);
  }
  return made;
}

std::size_t width_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const character next = first_of(text);
    columns += columns_of(next.code);
    text.remove_prefix(next.length);
  }
  return columns;
}

std::string cut(std::string_view text, std::size_t columns) {
  if (width_of(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::size_t used = 1;  // by the mark
  std::size_t end = 0;
  while (end < text.size()) {
    const character next = first_of(text.substr(end));
    used += columns_of(next.code);
    if (used > columns) break;
    end += next.length;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string cut_front(std::string_view text, std::size_t columns) {
  if (width_of(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  while (width_of(text) + 1 > columns) text.remove_prefix(first_of(text).length);
  return "…" + std::string(text);
}

std::string left(std::string_view text, std::size_t columns) {
  std::string made = cut(text, columns);
  return made.append(columns - std::min(columns, width_of(made)), ' ');
}

std::string right(std::string_view text, std::size_t columns) {
  const std::string made = cut(text, columns);
  return std::string(columns - std::min(columns, width_of(made)), ' ') + made;
}

std::string ascii(std::string_view text) {
  std::string made;
  while (!text.empty()) {
    const character next = first_of(text);
    switch (next.code) {
      case U'µ':
        made += 'u';
        break;
      case U'…':
        made += '~';
        break;
      case U'│':
        made += '|';
        break;
      case U'├':
      case U'└':
        made += '`';
        break;
      case U'─':
        made += '-';
        break;
      case U'·':
        made += ';';
        break;
      default:
        made += next.code < 0x80 ? static_cast<char>(next.code) : '?';
    }
    text.remove_prefix(next.length);
  }
  return made;
}

std::string duration(double ms) {
  ms = sane(ms);
  if (ms < 0.0005) return "0";
  if (ms < 0.9995) return formatted("%.0f µs", ms * 1000);
  if (ms < 9.95) return formatted("%.1f ms", ms);
  if (ms < 999.5) return formatted("%.0f ms", ms);
  if (ms < 9995) return formatted("%.2f s", ms / 1000);
  if (ms < shortest_of_minutes) return formatted("%.1f s", ms / 1000);
  const auto seconds = std::llround(ms / 1000);
  if (seconds < 3600) return formatted("%lld min %02lld s", seconds / 60, seconds % 60);
  const auto minutes = std::llround(static_cast<double>(seconds) / 60);
  return count(static_cast<std::uint64_t>(minutes / 60)) + formatted(" h %02lld min", minutes % 60);
}

std::string ticking(double ms) {
  ms = sane(ms);
  return ms < shortest_of_minutes ? formatted("%.1f s", ms / 1000) : duration(ms);
}

std::string count(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t end = digits.size(); end > 3; end -= 3) digits.insert(end - 3, 1, ',');
  return digits;
}

std::string cores(double n) {
  return std::isfinite(n) && n >= 0.005 ? formatted("%.2f", std::min(n, 1e6)) : "0";
}

std::string short_place(std::string_view file, std::uint64_t line) {
  const auto name = file.rfind('/');
  if (name != std::string_view::npos && name != 0) {
    const auto parent = file.rfind('/', name - 1);
    if (parent != std::string_view::npos) file.remove_prefix(parent + 1);
  }
  return std::string(file) + ':' + std::to_string(line);
}

std::string lower(std::string_view text) {
  std::string made(text);
  for (char& c : made) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return made;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += '%';
      encoded += digits[byte >> 4U];
      encoded += digits[byte & 15U];
    }
  }
  return encoded;
}

}  // namespace curfew_program
