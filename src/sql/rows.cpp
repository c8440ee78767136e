#include <curfew/sql/rows.hpp>
#include <curfew/sql/structs.hpp>

#include <charconv>
#include <cstring>
#include <system_error>

#include "sql/calendar.hpp"

namespace curfew::sql::detail {

namespace {

const char* name_of(cell_kind kind) noexcept {
  switch (kind) {
    case cell_kind::null:
      return "NULL";
    case cell_kind::boolean:
      return "a boolean";
    case cell_kind::integer:
      return "an integer";
    case cell_kind::real:
      return "a floating-point number";
    case cell_kind::text:
      return "text";
    case cell_kind::bytes:
      return "bytes";
    case cell_kind::numeric:
      return "a numeric";
    case cell_kind::json:
      return "json";
    case cell_kind::uuid:
      return "a uuid";
    case cell_kind::timestamp:
      return "a timestamp";
  }
  return "unknown";
}

std::string_view text_of(const cell& c) noexcept { return {c.bytes, c.size}; }

bool parse_real(std::string_view text, double& to) noexcept {
  const char* const last = text.data() + text.size();  // NOLINT(bugprone-suspicious-stringview-data-usage)
  const auto [end, wrong] = std::from_chars(text.data(), last, to);
  return wrong == std::errc() && end == last;
}

}  // namespace

void refuse_cell(const cell& c, std::string_view column, const char* wanted) {
  std::string what = "column ";
  what += column;
  what += " is ";
  what += name_of(c.kind);
  what += ", and was read as ";
  what += wanted;
  if (c.kind == cell_kind::null) what += "; a column that may be NULL is read as std::optional";
  throw conversion_error(what);
}

void refuse_width(std::size_t columns, std::size_t wanted) {
  throw conversion_error("there are " + std::to_string(columns) + " columns, and " + std::to_string(wanted) +
                         " were asked for");
}

bool read_boolean(const cell& c, std::string_view column) {
  if (c.kind == cell_kind::boolean) return c.integer != 0;
  if (c.kind == cell_kind::integer && (c.integer == 0 || c.integer == 1)) return c.integer != 0;
  refuse_cell(c, column, "a boolean");
}

std::int64_t read_integer(const cell& c, std::string_view column, std::int64_t least, std::int64_t most) {
  if (c.kind != cell_kind::integer) refuse_cell(c, column, "an integer");
  if (c.integer < least || c.integer > most) {
    throw conversion_error("column " + std::string(column) + " is " + std::to_string(c.integer) +
                           ", which does not fit into what it was read as");
  }
  return c.integer;
}

double read_real(const cell& c, std::string_view column) {
  if (c.kind == cell_kind::real) return c.real;
  if (c.kind == cell_kind::integer) return static_cast<double>(c.integer);
  if (double value = 0; c.kind == cell_kind::numeric && parse_real(text_of(c), value)) return value;
  refuse_cell(c, column, "a floating-point number");
}

std::string_view read_text(const cell& c, std::string_view column) {
  switch (c.kind) {
    case cell_kind::text:
    case cell_kind::numeric:
    case cell_kind::json:
      return text_of(c);
    default:
      refuse_cell(c, column, "text");
  }
}

bytes read_bytes(const cell& c, std::string_view column) {
  if (c.kind != cell_kind::bytes) refuse_cell(c, column, "bytes");
  bytes made(c.size);
  if (c.size != 0) std::memcpy(made.data(), c.bytes, c.size);
  return made;
}

uuid read_uuid(const cell& c, std::string_view column) {
  if ((c.kind == cell_kind::uuid || c.kind == cell_kind::bytes) && c.size == 16) {
    uuid made;
    std::memcpy(made.octets.data(), c.bytes, 16);
    return made;
  }
  if (c.kind == cell_kind::text) {
    if (const auto made = uuid::parse(text_of(c))) return *made;
  }
  refuse_cell(c, column, "a uuid");
}

timestamp read_timestamp(const cell& c, std::string_view column) {
  if (c.kind == cell_kind::timestamp) return timestamp(std::chrono::microseconds(c.integer));
  if (c.kind == cell_kind::text) {
    if (const auto made = parse_timestamp(text_of(c))) return *made;
  }
  refuse_cell(c, column, "a timestamp");
}

error wrong_column(const conversion_error& why) {
  return {errc::conversion, "reading rows", error_details::saying(why.what())};
}

}  // namespace curfew::sql::detail
