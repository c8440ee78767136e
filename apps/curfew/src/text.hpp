#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace curfew_program {

/// Text from a console, made fit to be shown: valid UTF-8 in which nothing steers a terminal. What shows nothing, or
/// reorders what is around it, is spelled out ("\x1b", "\n", "\u{202e}"); what is not UTF-8 becomes U+FFFD.
/// \param most  Bytes to look at; what is beyond them becomes "…".
[[nodiscard]] std::string printable(std::string_view foreign, std::size_t most = 2000);

/// Columns that printable text takes: two for a wide character, none for a combining one.
[[nodiscard]] std::size_t width_of(std::string_view text);
/// At most that many columns of it, with "…" where something is cut off.
[[nodiscard]] std::string cut(std::string_view text, std::size_t columns);
/// The same, with its end kept: "…exchange.cpp:71".
[[nodiscard]] std::string cut_front(std::string_view text, std::size_t columns);
/// Exactly that many columns: cut, or filled with spaces on the right, or on the left.
[[nodiscard]] std::string left(std::string_view text, std::size_t columns);
[[nodiscard]] std::string right(std::string_view text, std::size_t columns);
/// The same for a terminal without UTF-8: each character in as many columns, '?' where there is nothing like it.
[[nodiscard]] std::string ascii(std::string_view text);

/// 250 µs, 2.1 ms, 312 ms, 1.50 s, 59.9 s, 2 min 05 s, 3 h 12 min
[[nodiscard]] std::string duration(double ms);
/// For what is redrawn all the time: one decimal of a second, so that the digits do not dance.
[[nodiscard]] std::string ticking(double ms);
/// 1,234,567
[[nodiscard]] std::string count(std::uint64_t n);
/// 1.25: what a rate of CPU time over time is in cores; 0 below 0.005.
[[nodiscard]] std::string cores(double n);
/// The last parts of a path, "server/exchange.cpp:71".
[[nodiscard]] std::string short_place(std::string_view file, std::uint64_t line);

[[nodiscard]] std::string lower(std::string_view text);
/// As a value of a query.
[[nodiscard]] std::string percent_encode(std::string_view text);

}  // namespace curfew_program
