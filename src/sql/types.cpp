#include <curfew/sql/types.hpp>

namespace curfew::sql {

namespace {

constexpr std::string_view digits = "0123456789abcdef";

constexpr bool is_dash_at(std::size_t i) noexcept { return i == 8 || i == 13 || i == 18 || i == 23; }

constexpr int value_of(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<uuid> uuid::parse(std::string_view text) noexcept {
  if (text.size() != 36) return std::nullopt;
  uuid made;
  std::size_t nibble = 0;
  for (std::size_t i = 0; i != text.size(); ++i) {
    if (is_dash_at(i)) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const int value = value_of(text[i]);
    if (value < 0) return std::nullopt;
    auto& octet = made.octets[nibble / 2];
    octet = static_cast<std::uint8_t>(static_cast<unsigned>(octet) << 4U | static_cast<unsigned>(value));
    ++nibble;
  }
  return made;
}

std::string uuid::text() const {
  std::string made;
  made.reserve(36);
  for (const std::uint8_t octet : octets) {
    if (is_dash_at(made.size())) made += '-';
    made += digits[octet >> 4U];
    made += digits[octet & 15U];
  }
  return made;
}

}  // namespace curfew::sql
