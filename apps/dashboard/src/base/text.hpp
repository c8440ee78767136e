#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <string>
#include <string_view>

namespace curfew_dashboard {

namespace json = boost::json;

/// Bytes from outside, as text that may stand in JSON.
struct shown_text {
  std::string text;    ///< Valid UTF-8.
  bool lossy = false;  ///< Something was replaced by U+FFFD: the text is not the name.
};

/// Replaces each maximal sequence that is no UTF-8 (overlong forms and surrogates among them) by one U+FFFD.
[[nodiscard]] shown_text to_utf8(std::string_view bytes);

/// Sets `key` to the text of `bytes`, and "name_is_lossy" if that is not all of it.
void set_text(json::object& object, std::string_view key, std::string_view bytes);

/// "1,204"
[[nodiscard]] std::string with_commas(std::uint64_t number);
/// "312 B", "4.2 KiB", "1.3 GiB"
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);
/// "250 ms", "1 s", "1.5 s", "10 min"
[[nodiscard]] std::string human_duration(curfew::clock::duration d);
/// For a query of a URL: all but unreserved characters as %XX.
[[nodiscard]] std::string percent_encode(std::string_view text);

}  // namespace curfew_dashboard
