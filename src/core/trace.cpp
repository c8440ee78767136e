#include <curfew/core/trace.hpp>

#include <curfew/core/detail/random.hpp>
#include <ostream>

namespace curfew {

namespace {

constexpr std::string_view digits = "0123456789abcdef";

void append_hex(std::string& to, std::uint64_t number, unsigned count) {
  for (unsigned i = count; i-- != 0;) to += digits[(number >> (4 * i)) & 15U];
}

/// Takes so many hex digits, lower case as the standard has it, from the front of `text`.
template <class Number>
bool take_hex(std::string_view& text, unsigned count, Number& to) noexcept {
  if (text.size() < count) return false;
  std::uint64_t number = 0;
  for (const char c : text.substr(0, count)) {
    const auto digit = digits.find(c);
    if (digit == std::string_view::npos) return false;
    number = number << 4U | digit;
  }
  text.remove_prefix(count);
  to = static_cast<Number>(number);
  return true;
}

bool take_dash(std::string_view& text) noexcept {
  if (!text.starts_with('-')) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

trace_context trace_context::begin() {
  // The first half tells threads apart, by 64 random bits; the second one, traces of a thread.
  struct numbers {
    std::uint64_t high = detail::random_number();
    std::uint64_t next = detail::random_number();
  };
  static thread_local numbers own;
  trace_context made;
  made.id_high = own.high;
  made.id_low = detail::mixed(own.next++);
  if (made.id_high == 0 && made.id_low == 0) made.id_low = 1;
  made.flags = 1;
  return made;
}

std::optional<trace_context> trace_context::parse(std::string_view text) noexcept {
  trace_context read;
  unsigned version = 0;
  if (!take_hex(text, 2, version) || version == 0xff || !take_dash(text)) return std::nullopt;
  if (!take_hex(text, 16, read.id_high) || !take_hex(text, 16, read.id_low) || !take_dash(text) ||
      !take_hex(text, 16, read.span) || !take_dash(text) || !take_hex(text, 2, read.flags)) {
    return std::nullopt;
  }
  if ((read.id_high == 0 && read.id_low == 0) || read.span == 0) return std::nullopt;
  // What a later version has more stands behind a dash.
  if (!text.empty() && (version == 0 || !text.starts_with('-'))) return std::nullopt;
  return read;
}

std::string trace_context::id() const {
  std::string text;
  text.reserve(32);
  append_hex(text, id_high, 16);
  append_hex(text, id_low, 16);
  return text;
}

std::string trace_context::traceparent() const {
  std::string text = "00-";
  text.reserve(55);
  append_hex(text, id_high, 16);
  append_hex(text, id_low, 16);
  text += '-';
  append_hex(text, span, 16);
  text += '-';
  append_hex(text, flags, 2);
  return text;
}

std::ostream& operator<<(std::ostream& out, const trace_context& of) { return out << of.id(); }

}  // namespace curfew
