#include <array>
#include <charconv>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/rows.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "sql/calendar.hpp"

// Arrays as PostgreSQL writes them: {1,NULL,"two \"words\""}, or [0:1]={1,2} where they do not begin at 1.

namespace curfew::sql::detail {

namespace {

std::string in_quotes(std::string_view text) {
  std::string made("\"");
  for (const char c : text) {
    if (c == '"' || c == '\\') made += '\\';
    made += c;
  }
  return made + '"';
}

std::string hexadecimal(const bytes& all) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string made("\\x");
  for (const std::byte each : all) {
    made += digits[std::to_integer<std::size_t>(each) >> 4U];
    made += digits[std::to_integer<std::size_t>(each) & 15U];
  }
  return made;
}

struct element_text {
  std::string operator()(null_value /*none*/) const { return "NULL"; }
  std::string operator()(bool v) const { return v ? "t" : "f"; }
  std::string operator()(std::int64_t v) const { return std::to_string(v); }
  std::string operator()(double v) const {
    std::array<char, 32> digits{};
    const auto [end, wrong] = std::to_chars(digits.data(), digits.data() + digits.size(), v);
    return {digits.data(), end};
  }
  std::string operator()(const std::string& v) const { return in_quotes(v); }
  std::string operator()(const bytes& v) const { return in_quotes(hexadecimal(v)); }
  std::string operator()(const numeric& v) const { return in_quotes(v.text); }
  std::string operator()(const json& v) const { return in_quotes(v.text); }
  std::string operator()(const uuid& v) const { return in_quotes(v.text()); }
  std::string operator()(timestamp v) const { return in_quotes(as_text(v) + "+00"); }
  std::string operator()(const array_value& v) const { return v.text; }
};

/// Takes elements from the front of what lies between the braces.
class array_reader {
 public:
  explicit array_reader(std::string_view text) noexcept : left_(text) {}

  /// \return false: it is malformed, or has more dimensions than one.
  bool read(std::vector<array_element>& to) {
    if (left_.empty()) return true;
    for (;;) {
      array_element one;
      if (!take(one)) return false;
      to.push_back(std::move(one));
      if (left_.empty()) return true;
      if (left_.front() != ',') return false;
      left_.remove_prefix(1);
    }
  }

 private:
  bool take(array_element& to) {
    if (left_.starts_with('{')) return false;
    if (left_.starts_with('"')) return take_quoted(to);
    const auto size = std::min(left_.find(','), left_.size());
    to.text = left_.substr(0, size);
    to.is_null = to.text == "NULL";
    left_.remove_prefix(size);
    return !to.text.empty();
  }

  bool take_quoted(array_element& to) {
    left_.remove_prefix(1);
    while (!left_.empty() && left_.front() != '"') {
      if (left_.front() == '\\') left_.remove_prefix(1);
      if (left_.empty()) return false;
      to.text += left_.front();
      left_.remove_prefix(1);
    }
    if (left_.empty()) return false;
    left_.remove_prefix(1);
    return true;
  }

  std::string_view left_;
};

}  // namespace

void append_element(std::string& to, const parameter& element) {
  if (!to.ends_with('{')) to += ',';
  to += std::visit(element_text(), element);
}

std::vector<array_element> read_array(const cell& c, std::string_view column) {
  if (c.kind != cell_kind::text) refuse_cell(c, column, "an array");
  std::string_view text(c.bytes, c.size);
  if (text.starts_with('[')) text.remove_prefix(std::min(text.find('{'), text.size()));
  std::vector<array_element> made;
  const bool is_braced = text.size() >= 2 && text.front() == '{' && text.back() == '}';
  if (!is_braced || !array_reader(text.substr(1, text.size() - 2)).read(made))
    refuse_cell(c, column, "an array of one dimension");
  return made;
}

cell cell_of(const array_element& of, cell_kind kind, std::string_view column) {
  cell made;
  if (of.is_null) return made;
  const char* const begin = of.text.data();
  const char* const end = begin + of.text.size();
  std::from_chars_result parsed{end, std::errc()};
  made.kind = kind;
  switch (kind) {
    case cell_kind::boolean:
      made.integer = of.text == "t" ? 1 : 0;
      break;
    case cell_kind::integer:
      parsed = std::from_chars(begin, end, made.integer);
      break;
    case cell_kind::real:
      parsed = std::from_chars(begin, end, made.real);
      break;
    default:
      made.bytes = begin;
      made.size = static_cast<std::uint32_t>(of.text.size());
      break;
  }
  if (parsed.ec == std::errc() && parsed.ptr == end) return made;
  made.kind = cell_kind::text;
  refuse_cell(made, column, "an array of numbers");
}

}  // namespace curfew::sql::detail
