#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/panel_lines.hpp"

namespace curfew_dashboard {

/// A server-sent event.
struct server_event {
  std::string name;  ///< Empty where none was sent.
  std::string data;
};

/// Reads server-sent events from a stream of bytes, of which lines end with LF or CRLF.
class event_parser {
 public:
  void feed(std::string_view bytes) { lines_.feed(bytes); }
  /// The next event that is complete.
  [[nodiscard]] std::optional<server_event> next();
  /// Bytes of an event that is not complete yet.
  [[nodiscard]] std::size_t pending() const noexcept { return lines_.pending() + event_.data.size(); }

 private:
  line_splitter lines_;
  server_event event_;
  bool has_data_ = false;
};

}  // namespace curfew_dashboard
