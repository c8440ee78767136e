#include <curfew/sql/types.hpp>

#include "sql/hexadecimal.hpp"

namespace curfew::sql {

namespace {

constexpr bool is_dash_at(std::size_t i) noexcept { return i == 8 || i == 13 || i == 18 || i == 23; }

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
    const int value = value_of_digit(text[i]);
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
    made += hexadecimal_digits[octet >> 4U];
    made += hexadecimal_digits[octet & 15U];
  }
  return made;
}

}  // namespace curfew::sql
