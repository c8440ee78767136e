#pragma once

#include <chrono>
#include <cstdint>
#include <curfew/core/cause.hpp>
#include <curfew/core/context.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

// What one hub tells the others of ends: in the channel of its lease, and in its key.

namespace curfew::remote {

/// The end of a context in one line: "c curfew.http 1 the client is gone". 'c': canceled, 'd': deadline exceeded; the
/// category and the code of the cause; its message. At most some 200 bytes.
[[nodiscard]] std::string end_text(const context& ended);

/// What such a line says, of anyone.
struct read_end {
  bool by_deadline = false;
  curfew::cause why;  ///< Of a category that is not known: its message.
};
[[nodiscard]] std::optional<read_end> parse_end(std::string_view line,
                                                std::span<const std::error_category* const> known);

/// A message of the channel: in its first line its number, which counts the messages of a lease, and the lease; then a line for
/// each end, "<number> <end>". A lease of 0: the hub has closed.
struct news {
  struct one_end {
    std::uint64_t number = 0;
    std::string_view text;
  };

  std::uint64_t count = 0;
  std::chrono::milliseconds lease{};
  std::vector<one_end> ends;
};
[[nodiscard]] std::optional<news> parse_news(std::string_view payload);

}  // namespace curfew::remote
