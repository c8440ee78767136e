#pragma once

#include <string_view>

namespace curfew::sql {

inline constexpr std::string_view hexadecimal_digits = "0123456789abcdef";

/// -1: it is no hexadecimal digit.
constexpr int value_of_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace curfew::sql
