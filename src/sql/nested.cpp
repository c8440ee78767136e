#include <array>
#include <charconv>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/rows.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "sql/calendar.hpp"
#include "sql/hexadecimal.hpp"

// What PostgreSQL writes into one column: arrays, {1,NULL,"two \"words\""}, or [0:1]={1,2} where they do not begin at 1, and
// composite values, (1,,"two ""words""").

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
  std::string made("\\x");
  for (const std::byte each : all) {
    made += hexadecimal_digits[std::to_integer<std::size_t>(each) >> 4U];
    made += hexadecimal_digits[std::to_integer<std::size_t>(each) & 15U];
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
  std::string operator()(const composite_value& v) const { return in_quotes(v.text); }
};

/// Takes elements from the front of what lies between the braces.
class array_reader {
 public:
  explicit array_reader(std::string_view text) noexcept : left_(text) {}

  /// \return false: it is malformed, or has more dimensions than one.
  bool read(std::vector<element>& to) {
    if (left_.empty()) return true;
    for (;;) {
      element one;
      if (!take(one)) return false;
      to.push_back(std::move(one));
      if (left_.empty()) return true;
      if (left_.front() != ',') return false;
      left_.remove_prefix(1);
    }
  }

 private:
  bool take(element& to) {
    if (left_.starts_with('{')) return false;
    if (left_.starts_with('"')) return take_quoted(to);
    const auto size = std::min(left_.find(','), left_.size());
    to.text = left_.substr(0, size);
    to.is_null = to.text == "NULL";
    left_.remove_prefix(size);
    return !to.text.empty();
  }

  bool take_quoted(element& to) {
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

/// Takes the next field, and what stands behind it; false: it is malformed.
bool take_field(std::string_view& left, element& to) {
  to.is_null = left.starts_with(',') || left.starts_with(')');
  bool is_quoted = false;
  for (; !left.empty(); left.remove_prefix(1)) {
    const char c = left.front();
    if (!is_quoted && (c == ',' || c == ')')) break;
    if (c == '"') {
      // Twice within quotes it is one.
      if (is_quoted && left.substr(1).starts_with('"')) {
        left.remove_prefix(1);
      } else {
        is_quoted = !is_quoted;
        continue;
      }
    } else if (c == '\\') {
      left.remove_prefix(1);
      if (left.empty()) return false;
    }
    to.text += left.front();
  }
  if (left.empty()) return false;
  const bool is_last = left.front() == ')';
  left.remove_prefix(1);
  return is_last == left.empty();
}

cell text_cell(const element& of) noexcept {
  cell made;
  if (of.is_null) return made;
  made.kind = cell_kind::text;
  made.bytes = of.text.data();
  made.size = static_cast<std::uint32_t>(of.text.size());
  return made;
}

}  // namespace

void append_element(std::string& to, const parameter& element) {
  if (!to.ends_with('{')) to += ',';
  to += std::visit(element_text(), element);
}

void append_field(std::string& to, const parameter& field) {
  if (const auto* list = std::get_if<array_value>(&field)) {
    to += in_quotes(list->text);
  } else if (!std::holds_alternative<null_value>(field)) {
    to += std::visit(element_text(), field);
  }
  to += ',';
}

void refuse_enumerator(std::int64_t value) {
  throw std::invalid_argument("curfew: " + std::to_string(value) +
                              " has no name in sql_names of its enumeration");
}

std::vector<element> read_array(const cell& c, std::string_view column) {
  if (c.kind != cell_kind::text) refuse_cell(c, column, "an array");
  std::string_view text(c.bytes, c.size);
  if (text.starts_with('[')) text.remove_prefix(std::min(text.find('{'), text.size()));
  std::vector<element> made;
  const bool is_braced = text.size() >= 2 && text.front() == '{' && text.back() == '}';
  if (!is_braced || !array_reader(text.substr(1, text.size() - 2)).read(made))
    refuse_cell(c, column, "an array of one dimension");
  return made;
}

std::vector<element> read_fields(const cell& c, std::string_view column, std::size_t size) {
  if (c.kind != cell_kind::text) refuse_cell(c, column, "a composite value");
  std::string_view left(c.bytes, c.size);
  std::vector<element> made;
  bool is_right = left.starts_with('(') && left.ends_with(')');
  if (is_right) left.remove_prefix(1);
  while (is_right && !left.empty()) is_right = take_field(left, made.emplace_back());
  if (!is_right) refuse_cell(c, column, "a composite value");
  if (made.size() == size) return made;
  throw conversion_error("column " + std::string(column) + " has " + std::to_string(made.size()) +
                         " fields, and " + std::to_string(size) + " were asked for");
}

void refuse_name(std::string_view name, std::string_view column) {
  throw conversion_error("column " + std::string(column) + " is '" + std::string(name) +
                         "', which is no name in sql_names of its enumeration");
}

cell cell_of(const element& of, cell_kind kind, std::string_view column) {
  cell made = text_cell(of);
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
      break;
  }
  if (parsed.ec == std::errc() && parsed.ptr == end) return made;
  refuse_cell(text_cell(of), column, "numbers");
}

bytes bytes_of(const element& of, std::string_view column) {
  const std::string_view text(of.text);
  const bool is_hexadecimal = !of.is_null && text.starts_with("\\x") && text.size() % 2 == 0;
  if (!is_hexadecimal) refuse_cell(text_cell(of), column, "bytes, \\x and hexadecimal digits");
  bytes made;
  made.reserve(text.size() / 2 - 1);
  for (std::size_t at = 2; at != text.size(); at += 2) {
    const int high = value_of_digit(text[at]);
    const int low = value_of_digit(text[at + 1]);
    if (high < 0 || low < 0) refuse_cell(text_cell(of), column, "bytes, \\x and hexadecimal digits");
    made.push_back(static_cast<std::byte>(high * 16 + low));
  }
  return made;
}

}  // namespace curfew::sql::detail
