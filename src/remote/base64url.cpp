#include "remote/base64url.hpp"

#include <cstdint>

namespace curfew::remote {

namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr unsigned bits_of_byte = 8;
constexpr unsigned bits_of_character = 6;

}  // namespace

std::string to_base64url(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() * bits_of_byte + bits_of_character - 1) / bits_of_character);
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char each : bytes) {
    bits = bits << bits_of_byte | static_cast<unsigned char>(each);
    count += bits_of_byte;
    while (count >= bits_of_character) {
      count -= bits_of_character;
      text += alphabet[bits >> count & 0x3FU];
    }
  }
  if (count > 0) text += alphabet[bits << (bits_of_character - count) & 0x3FU];
  return text;
}

std::optional<std::string> from_base64url(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() * bits_of_character / bits_of_byte);
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char each : text) {
    const auto value = alphabet.find(each);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << bits_of_character | static_cast<std::uint32_t>(value);
    count += bits_of_character;
    if (count >= bits_of_byte) {
      count -= bits_of_byte;
      bytes += static_cast<char>(bits >> count & 0xFFU);
    }
  }
  const bool is_whole = count < bits_of_character && (bits & ((1U << count) - 1)) == 0;
  if (!is_whole) return std::nullopt;
  return bytes;
}

}  // namespace curfew::remote
