#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::sql {

using bytes = std::vector<std::byte>;

/// A point in time without a zone: UTC. SQLite keeps it as text, "2026-10-05 12:30:00.000001".
using timestamp = std::chrono::sys_time<std::chrono::microseconds>;

/// A number of any length, as text: "12.50".
struct numeric {
  std::string text;
  friend bool operator==(const numeric&, const numeric&) = default;
};

/// A document, as text.
struct json {
  std::string text;
  friend bool operator==(const json&, const json&) = default;
};

struct uuid {
  std::array<std::uint8_t, 16> octets{};

  /// "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", in either case; none if it is malformed.
  [[nodiscard]] static std::optional<uuid> parse(std::string_view text) noexcept;
  [[nodiscard]] std::string text() const;
  friend bool operator==(const uuid&, const uuid&) = default;
};

}  // namespace curfew::sql
