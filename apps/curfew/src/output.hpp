#pragma once

#include <span>
#include <string>
#include <string_view>

namespace curfew_program {

/// Does the locale say that what shows the output takes UTF-8?
[[nodiscard]] bool shows_utf8();

/// Prints lines of printable text to standard output; where that is a terminal, no wider than it.
void print_lines(std::span<const std::string> lines);
/// Prints a console's own JSON as it is, in a line.
void print_json(std::string_view text);
/// "curfew: …" on standard error.
void complain(std::string_view text);

}  // namespace curfew_program
