#include "console/json.hpp"

#include <array>
#include <cstddef>

namespace curfew::inspect {

namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

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

void append_escaped(std::string& to, char c) {
  switch (c) {
    case '"':
      to += "\\\"";
      return;
    case '\\':
      to += "\\\\";
      return;
    case '\n':
      to += "\\n";
      return;
    case '\t':
      to += "\\t";
      return;
    default:
      break;
  }
  const auto byte = static_cast<unsigned char>(c);
  to += "\\u00";
  to += hex_digits[byte >> 4U];
  to += hex_digits[byte & 15U];
}

bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x7F && c != '"' && c != '\\';
}

}  // namespace

void append_utf8(std::string& to, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto [length, valid] = next_piece(bytes);
    if (valid) {
      to += bytes.substr(0, length);
    } else {
      to += "\uFFFD";
    }
    bytes.remove_prefix(length);
  }
}

json_writer& json_writer::key(std::string_view name) {
  separate();
  to_ += '"';
  to_ += name;
  to_ += "\":";
  comma_ = false;
  return *this;
}

json_writer& json_writer::text(std::string_view bytes) {
  separate();
  to_ += '"';
  while (!bytes.empty()) {
    std::size_t plain = 0;
    while (plain < bytes.size() && is_plain(bytes[plain])) ++plain;
    to_ += bytes.substr(0, plain);
    bytes.remove_prefix(plain);
    if (bytes.empty()) break;
    const auto [length, valid] = next_piece(bytes);
    if (!valid) {
      to_ += "\uFFFD";
    } else if (length == 1) {
      append_escaped(to_, bytes.front());
    } else {
      to_ += bytes.substr(0, length);
    }
    bytes.remove_prefix(length);
  }
  to_ += '"';
  comma_ = true;
  return *this;
}

json_writer& json_writer::number(std::uint64_t n) {
  separate();
  to_ += std::to_string(n);
  comma_ = true;
  return *this;
}

json_writer& json_writer::signed_number(std::int64_t n) {
  separate();
  to_ += std::to_string(n);
  comma_ = true;
  return *this;
}

json_writer& json_writer::boolean(bool b) {
  separate();
  to_ += b ? "true" : "false";
  comma_ = true;
  return *this;
}

json_writer& json_writer::null() {
  separate();
  to_ += "null";
  comma_ = true;
  return *this;
}

json_writer& json_writer::id(std::uint64_t n) {
  if (n == 0) return null();
  separate();
  to_ += '"';
  to_ += hex_id(n);
  to_ += '"';
  comma_ = true;
  return *this;
}

json_writer& json_writer::milliseconds(std::chrono::nanoseconds d) {
  separate();
  to_ += in_milliseconds(d);
  comma_ = true;
  return *this;
}

json_writer& json_writer::point(clock::time_point at) {
  return signed_number(std::chrono::nanoseconds(at.time_since_epoch()).count());
}

json_writer& json_writer::begin(char bracket) {
  separate();
  to_ += bracket;
  comma_ = false;
  return *this;
}

json_writer& json_writer::end(char bracket) {
  to_ += bracket;
  comma_ = true;
  return *this;
}

void json_writer::separate() {
  if (comma_) to_ += ',';
}

std::string hex_id(std::uint64_t id) {
  std::string made(16, '0');
  for (std::size_t i = made.size(); id != 0; id >>= 4U) made[--i] = hex_digits[id & 15U];
  return made;
}

std::string in_milliseconds(std::chrono::nanoseconds d) {
  constexpr std::int64_t per_millisecond = 1'000'000;
  const bool negative = d.count() < 0;
  const auto whole = d.count() / per_millisecond;
  auto rest = d.count() % per_millisecond;
  if (negative) rest = -rest;
  std::string made = negative && whole == 0 ? "-0" : std::to_string(whole);
  if (rest == 0) return whole == 0 ? "0" : made;
  std::string digits = std::to_string(rest);
  digits.insert(0, 6 - digits.size(), '0');
  while (digits.back() == '0') digits.pop_back();
  return made + '.' + digits;
}

}  // namespace curfew::inspect
