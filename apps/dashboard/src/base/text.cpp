#include "base/text.hpp"

#include <array>
#include <chrono>
#include <cstdio>

namespace curfew_dashboard {

namespace {

/// How many bytes at the beginning of `bytes` belong together, and whether they are a character.
struct piece {
  std::size_t length;
  bool valid;
};

piece next_piece(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return {1, true};
  std::size_t more = 0;
  // The range of the second byte excludes overlong forms, surrogates and what is beyond U+10FFFF.
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    more = 1;
  } else if (first >= 0xE0 && first <= 0xEF) {
    more = 2;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    more = 3;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return {1, false};
  }
  for (std::size_t i = 1; i <= more; ++i) {
    if (i >= bytes.size() || at(i) < low || at(i) > high) return {i, false};
    low = 0x80;
    high = 0xBF;
  }
  return {more + 1, true};
}

std::string with_unit(double number, const char* unit) {
  std::array<char, 48> buffer{};
  const bool whole = number >= 99.95 || number == static_cast<double>(static_cast<std::uint64_t>(number));
  std::snprintf(buffer.data(), buffer.size(), whole ? "%.0f %s" : "%.1f %s", number, unit);
  return buffer.data();
}

}  // namespace

shown_text to_utf8(std::string_view bytes) {
  shown_text shown;
  shown.text.reserve(bytes.size());
  while (!bytes.empty()) {
    const auto [length, valid] = next_piece(bytes);
    if (valid) {
      shown.text.append(bytes.substr(0, length));
    } else {
      shown.text.append("\uFFFD");
      shown.lossy = true;
    }
    bytes.remove_prefix(length);
  }
  return shown;
}

void set_text(json::object& object, std::string_view key, std::string_view bytes) {
  shown_text shown = to_utf8(bytes);
  object[key] = shown.text;
  if (shown.lossy) object["name_is_lossy"] = true;
}

std::string with_commas(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t end = digits.size(); end > 3; end -= 3) digits.insert(end - 3, 1, ',');
  return digits;
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto number = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (number >= 1023.95 && unit + 1 < units.size()) {
    number /= 1024;
    ++unit;
  }
  return with_unit(number, units[unit]);
}

std::string human_duration(curfew::clock::duration d) {
  using namespace std::chrono;
  const auto ms = static_cast<double>(duration_cast<milliseconds>(d).count());
  if (ms < 1000) return with_unit(ms, "ms");
  if (ms < 120'000) return with_unit(ms / 1000, "s");
  return with_unit(ms / 60'000, "min");
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      encoded.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded.push_back('%');
      encoded.push_back(digits[byte >> 4U]);
      encoded.push_back(digits[byte & 15U]);
    }
  }
  return encoded;
}

}  // namespace curfew_dashboard
