#include "http/message/syntax.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>

namespace curfew::http {

namespace {

constexpr std::array<bool, 256> token_characters = [] {
  std::array<bool, 256> table{};
  for (const char c :
       std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

constexpr std::uint64_t each_byte = 0x0101010101010101;

/// Is one of the eight bytes below ' ', or 0x7f? Of eight at a time it is known in a few instructions.
bool has_control(std::uint64_t bytes) noexcept {
  const std::uint64_t below = (bytes - each_byte * ' ') & ~bytes;
  const std::uint64_t other = bytes ^ (each_byte * 0x7f);
  const std::uint64_t equal = (other - each_byte) & ~other;
  return ((below | equal) & (each_byte * 0x80)) != 0;
}

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

std::optional<std::uint64_t> parse_length(std::string_view text) noexcept {
  const auto size = parse_number<std::uint64_t>(text);
  return size && *size <= std::uint64_t{std::numeric_limits<std::int64_t>::max()} ? size : std::nullopt;
}

std::size_t token_size(std::string_view text) noexcept {
  std::size_t size = 0;
  while (size < text.size() && token_characters[static_cast<unsigned char>(text[size])]) ++size;
  return size;
}

bool is_token(std::string_view text) noexcept { return !text.empty() && token_size(text) == text.size(); }

bool is_field_value(std::string_view text) noexcept {
  while (text.size() >= sizeof(std::uint64_t)) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, text.data(), sizeof bytes);
    if (has_control(bytes)) break;  // which may be a tab
    text.remove_prefix(sizeof bytes);
  }
  return std::ranges::none_of(
      text, [](char c) { return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7f; });
}

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string lowered(std::string_view text) {
  std::string made(text);
  std::ranges::transform(made, made.begin(), to_lower);
  return made;
}

}  // namespace curfew::http
