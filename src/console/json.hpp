#pragma once

#include <chrono>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <string>
#include <string_view>

namespace curfew::inspect {

/// Appends `bytes` with each maximal sequence that is no UTF-8 replaced by one U+FFFD.
void append_utf8(std::string& to, std::string_view bytes);

/// Appends JSON to a string. Sets the commas; what is called in which order is the caller's to know.
class json_writer {
 public:
  explicit json_writer(std::string& to) noexcept : to_(to) {}

  json_writer& begin_object() { return begin('{'); }
  json_writer& end_object() { return end('}'); }
  json_writer& begin_array() { return begin('['); }
  json_writer& end_array() { return end(']'); }
  json_writer& key(std::string_view name);

  /// Bytes of any kind; malformed UTF-8 is replaced.
  json_writer& text(std::string_view bytes);
  json_writer& number(std::uint64_t n);
  json_writer& signed_number(std::int64_t n);
  json_writer& boolean(bool b);
  json_writer& null();
  /// 16 hex digits in a string; null for 0.
  json_writer& id(std::uint64_t n);
  json_writer& milliseconds(std::chrono::nanoseconds d);
  json_writer& point(clock::time_point at);

 private:
  json_writer& begin(char bracket);
  json_writer& end(char bracket);
  void separate();

  std::string& to_;
  bool comma_ = false;  // before the next value or key
};

/// 16 hex digits.
[[nodiscard]] std::string hex_id(std::uint64_t id);

/// Milliseconds with up to six decimals.
[[nodiscard]] std::string in_milliseconds(std::chrono::nanoseconds d);

}  // namespace curfew::inspect
