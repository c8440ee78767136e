#include "base/event_parser.hpp"

#include <utility>

namespace curfew_dashboard {

std::optional<server_event> event_parser::next() {
  while (auto line = lines_.next()) {
    if (line->ends_with('\r')) line->pop_back();
    if (line->empty()) {
      auto complete = std::exchange(event_, {});
      if (std::exchange(has_data_, false)) return complete;
      continue;
    }
    const auto colon = line->find(':');
    const std::string_view field = std::string_view(*line).substr(0, colon);
    std::string_view value =
        colon == std::string::npos ? std::string_view() : std::string_view(*line).substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (field == "event") event_.name = value;
    if (field == "data") {
      if (has_data_) event_.data += '\n';
      event_.data += value;
      has_data_ = true;
    }
  }
  return std::nullopt;
}

}  // namespace curfew_dashboard
