#include "event_reader.hpp"

#include <utility>

namespace curfew_program {

void event_reader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    end_line();
    line_.clear();
  }
}

void event_reader::end_line() {
  if (line_.ends_with('\r')) line_.pop_back();
  if (line_.empty()) {
    auto data = std::exchange(data_, {});
    if (std::exchange(event_, {}) == name_ && !data.empty()) last_ = std::move(data);
    return;
  }
  const std::string_view line = line_;
  const auto colon = line.find(':');
  const auto field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "event") event_ = value;
  if (field == "data") {
    if (!data_.empty()) data_ += '\n';
    data_ += value;
  }
}

std::optional<std::string> event_reader::take_last() { return std::exchange(last_, std::nullopt); }

}  // namespace curfew_program
