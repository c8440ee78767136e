#include <curfew/sql/rows.hpp>
#include <curfew/sql/structs.hpp>

#include <sys/mman.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

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
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): its end is an argument
  const auto [end, wrong] = std::from_chars(text.data(), last, to);
  return wrong == std::errc() && end == last;
}

constexpr std::size_t huge_page = 2 * std::size_t{1024} * 1024;

}  // namespace

// NOLINTBEGIN(*-no-malloc, *-owning-memory): aligned, and given back without its size
memory make_memory(std::size_t size) {
  void* made = nullptr;
  if (size < huge_page) {
    made = std::malloc(size);
  } else if (::posix_memalign(&made, huge_page, size) == 0) {
    ::madvise(made, size / huge_page * huge_page, MADV_HUGEPAGE);  // refused: it is the same, and slower
  }
  if (made == nullptr) throw std::bad_alloc();
  return memory(static_cast<char*>(made));
}
// NOLINTEND(*-no-malloc, *-owning-memory)

void cell_list::grow() {
  constexpr std::size_t fewest = 8;
  const auto had = blocks_.empty() ? 0 : static_cast<std::size_t>(end_ - last());
  if (had == block_size || had == 0) {
    const std::size_t room = had == 0 ? fewest : block_size;
    blocks_.push_back(make_memory(room * sizeof(cell)));
    next_ = last();
    end_ = next_ + room;
    return;
  }
  memory larger = make_memory(2 * had * sizeof(cell));
  std::memcpy(larger.get(), last(), had * sizeof(cell));
  blocks_.back() = std::move(larger);
  next_ = last() + had;
  end_ = last() + 2 * had;
}

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

void refuse_integer(const cell& c, std::string_view column) {
  if (c.kind != cell_kind::integer) refuse_cell(c, column, "an integer");
  throw conversion_error("column " + std::string(column) + " is " + std::to_string(c.integer) +
                         ", which does not fit into what it was read as");
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
