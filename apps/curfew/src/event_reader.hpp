#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace curfew_program {

/// Reads server-sent events from a stream of bytes, of which lines end with LF or CRLF, and keeps the data of the last one
/// of a name: a viewer that is late has no use for those before.
class event_reader {
 public:
  explicit event_reader(std::string name) : name_(std::move(name)) {}

  void feed(std::string_view bytes);
  /// The data of the last event that is complete, once.
  [[nodiscard]] std::optional<std::string> take_last();
  /// Bytes of what is not complete yet.
  [[nodiscard]] std::size_t pending() const noexcept { return line_.size() + data_.size(); }

 private:
  void end_line();

  const std::string name_;
  std::string line_;
  std::string event_;
  std::string data_;
  std::optional<std::string> last_;
};

}  // namespace curfew_program
