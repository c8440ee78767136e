#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "source.hpp"

namespace curfew_program {

/// `curfew top URL…`
struct top_options {
  std::vector<source> sources;
  std::string token_file;
};

/// `curfew ls URL…`
struct ls_options {
  std::vector<source> sources;
  std::string query;  ///< What is chosen, as a part of a URL: "state=zombie&kind=request".
  std::size_t limit = 1000;
  bool json = false;
  bool check = false;
};

/// `curfew show ID URL…`
struct show_options {
  std::string id;
  std::vector<source> sources;
  bool json = false;
  bool stack = false;
};

/// `curfew cancel ID URL…`
struct cancel_options {
  std::string id;
  std::string reason;
  std::vector<source> sources;
  std::string token_file;
};

/// `--help`, `help ls`
struct show_help {
  std::string_view text;
};
struct show_version {};

/// "0.1.0"
[[nodiscard]] std::string_view version() noexcept;

using command = std::variant<top_options, ls_options, show_options, cancel_options, show_help, show_version>;

/// \param arguments  Without the program's name.
/// Errors: a text that says what is wrong, in one line.
[[nodiscard]] std::expected<command, std::string> parse_options(std::span<const char* const> arguments);

/// "1s", "250ms", "2min", "1h", in milliseconds.
[[nodiscard]] std::optional<std::size_t> parse_duration(std::string_view text);

/// The token: the first line of the file, or of the variable CURFEW_TOKEN where no file is given; empty: there is none.
/// Errors: why there is none in the file.
[[nodiscard]] std::expected<std::string, std::string> read_token(const std::string& file);

}  // namespace curfew_program
