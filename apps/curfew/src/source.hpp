#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace curfew_program {

/// Where a console answers, as it is named on the command line.
struct source {
  std::string shown;        ///< As it was named, without userinfo; printable.
  std::string url;          ///< To which "/tasks" is added.
  std::string unix_socket;  ///< Empty: none.

  /// "http://127.0.0.1:6060", "https://host/debug/curfew", "127.0.0.1:6060", "unix:/run/shop/console.sock",
  /// "unix:/run/shop.sock:/debug/curfew".
  /// Errors: what is wrong with it, in one line.
  static std::expected<source, std::string> parse(std::string_view text);
};

}  // namespace curfew_program
