#include "sql/postgres/answer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <system_error>
#include <utility>
#include <variant>

#include "sql/calendar.hpp"
#include "sql/shortened.hpp"

namespace curfew::sql::postgres {

namespace {

using detail::cell;
using detail::cell_kind;
using detail::table;

constexpr int as_text_format = 0;
constexpr int as_binary_format = 1;

// The types of PostgreSQL that have a kind of their own; the others are text. From its pg_type.dat: they never change.
cell_kind kind_of(Oid type) noexcept {
  switch (type) {
    case 16:  // bool
      return cell_kind::boolean;
    case 17:  // bytea
      return cell_kind::bytes;
    case 20:  // int8
    case 21:  // int2
    case 23:  // int4
    case 26:  // oid
      return cell_kind::integer;
    case 700:  // float4
    case 701:  // float8
      return cell_kind::real;
    case 1700:
      return cell_kind::numeric;
    case 114:   // json
    case 3802:  // jsonb
      return cell_kind::json;
    default:
      return cell_kind::text;
  }
}

template <class Number>
bool parse(const char* text, int size, Number& to) noexcept {
  const auto [end, wrong] = std::from_chars(text, text + size, to);
  return wrong == std::errc() && end == text + size;
}

int nibble(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/// bytea as text: "\x00ff"; the older format, of servers that are set to it, is libpq's to read.
bool take_bytes(table& to, const char* text, int size, cell& made) {
  if (size >= 2 && text[0] == '\\' && text[1] == 'x') {
    const auto count = static_cast<std::size_t>(size - 2) / 2;
    auto& bytes = to.owned.emplace_back(detail::make_memory(count));
    for (std::size_t i = 0; i != count; ++i) {
      const int high = nibble(text[2 + 2 * i]);
      const int low = nibble(text[3 + 2 * i]);
      if (high < 0 || low < 0) return false;
      bytes[i] = static_cast<char>(high << 4 | low);
    }
    made.size = static_cast<std::uint32_t>(count);
    made.bytes = bytes.get();
    return size % 2 == 0;
  }
  std::size_t count = 0;
  // NOLINTNEXTLINE(*-reinterpret-cast): libpq's bytes are unsigned
  const std::unique_ptr<unsigned char, void (*)(void*)> raw(
      ::PQunescapeBytea(reinterpret_cast<const unsigned char*>(text), &count), &::PQfreemem);
  if (!raw) return false;
  auto& bytes = to.owned.emplace_back(detail::make_memory(count));
  std::memcpy(bytes.get(), raw.get(), count);
  made.size = static_cast<std::uint32_t>(count);
  made.bytes = bytes.get();
  return true;
}

/// \return false: it is malformed.
bool take_cell(table& to, cell_kind kind, const char* text, int size, cell& made) {
  made.kind = kind;
  switch (kind) {
    case cell_kind::boolean:
      made.integer = *text == 't' ? 1 : 0;
      return size == 1;
    case cell_kind::integer:
      return parse(text, size, made.integer);
    case cell_kind::real:
      return parse(text, size, made.real);
    case cell_kind::bytes:
      return take_bytes(to, text, size, made);
    default:
      made.size = static_cast<std::uint32_t>(size);
      made.bytes = size == 0 ? "" : text;
      return true;
  }
}

error malformed(const std::string& column) {
  return {errc::conversion, "reading column " + column,
          error_details::saying("the server's text is not of the column's type")};
}

std::string_view field(const PGresult* answer, int which) noexcept {
  const char* text = ::PQresultErrorField(answer, which);
  return text == nullptr ? std::string_view() : std::string_view(text);
}

/// The name of a constraint, or "table.column" where that may not be null.
std::string constraint_of(const PGresult* answer) {
  if (const auto name = field(answer, PG_DIAG_CONSTRAINT_NAME); !name.empty()) return std::string(name);
  const auto column = field(answer, PG_DIAG_COLUMN_NAME);
  if (column.empty()) return {};
  return std::string(field(answer, PG_DIAG_TABLE_NAME)) + '.' + std::string(column);
}

}  // namespace

std::error_code code_of(std::string_view state, const char* function) noexcept {
  const auto in = [state](std::string_view prefix) { return state.starts_with(prefix); };
  const auto raised_by = [function](const char* name) {
    return function != nullptr && std::strcmp(function, name) == 0;
  };
  if (state.empty()) return errc::connection_lost;
  if (state == "23505") return errc::unique_violation;
  if (state == "23503") return errc::foreign_key_violation;
  if (state == "23514" || state == "23P01") return errc::check_violation;
  if (state == "23502") return errc::not_null_violation;
  if (state == "40001") return errc::serialization_failure;
  if (state == "0A000" && raised_by("RevalidateCachedQuery")) return errc::serialization_failure;
  if (state == "40P01") return errc::deadlock;
  if (state == "55P03") return errc::busy;
  if (state == "53300") return errc::too_many_connections;
  if (state == "53100") return std::make_error_code(std::errc::no_space_on_device);
  if (state == "53200") return std::make_error_code(std::errc::not_enough_memory);
  if (state == "57P01" || state == "57P02" || state == "57P05") return errc::connection_lost;
  if (state == "57P03") return errc::connection_failed;  // it is starting, or shutting down
  if (state == "25006") return errc::read_only;
  if (state == "42501" || in("28")) return errc::not_allowed;
  if (state == "42601" && raised_by("exec_parse_message")) return errc::many_statements;
  if (state == "08P01" || in("22")) return errc::bad_parameter;
  if (in("08")) return errc::connection_lost;
  if (in("54")) return errc::too_large;
  if (in("42") || in("3D") || in("3F")) return errc::syntax;
  return errc::other;
}

std::string_view sqlstate_of(const PGresult* answer) noexcept { return field(answer, PG_DIAG_SQLSTATE); }

std::string trimmed(const char* message) {
  std::string text(message == nullptr ? "" : message);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return text;
}

error_details details_of(const PGresult* answer) {
  error_details details;
  details.sqlstate = sqlstate_of(answer);
  details.message = field(answer, PG_DIAG_MESSAGE_PRIMARY);
  if (details.message.empty()) details.message = trimmed(::PQresultErrorMessage(answer));
  details.detail = field(answer, PG_DIAG_MESSAGE_DETAIL);
  details.hint = field(answer, PG_DIAG_MESSAGE_HINT);
  details.constraint = constraint_of(answer);
  const auto position = field(answer, PG_DIAG_STATEMENT_POSITION);
  parse(position.data(), static_cast<int>(position.size()), details.position);
  return details;
}

error failed(const PGresult* answer, std::string doing) {
  auto details = details_of(answer);
  const std::error_code code =
      code_of(details.sqlstate, ::PQresultErrorField(answer, PG_DIAG_SOURCE_FUNCTION));
  return {code, std::move(doing), std::move(details)};
}

result<encoded> encoded::of(const parameters& with, std::string_view text) {
  const auto& all = with.all();
  const auto refused = [&](std::string why) {
    return error(errc::bad_parameter, shortened(text) + " : encoding its parameters",
                 error_details::saying(std::move(why)));
  };
  if (all.size() > std::numeric_limits<std::uint16_t>::max())
    return refused("a statement has at most 65535 parameters");
  encoded made;
  made.values_.reserve(all.size());
  made.lengths_.reserve(all.size());
  made.formats_.reserve(all.size());
  made.made_.reserve(all.size());  // its strings stay where they are
  const auto add = [&made](const char* value, std::size_t size, int format) {
    made.values_.push_back(value);
    made.lengths_.push_back(static_cast<int>(size));
    made.formats_.push_back(format);
  };
  const auto add_made = [&](std::string value) {
    const std::string& kept = made.made_.emplace_back(std::move(value));
    add(kept.c_str(), kept.size(), as_text_format);
  };
  struct visitor {
    decltype(add)& as_it_is;
    decltype(add_made)& as_made;

    void operator()(detail::null_value /*none*/) const { as_it_is(nullptr, 0, as_text_format); }
    void operator()(bool v) const { as_it_is(v ? "t" : "f", 1, as_text_format); }
    void operator()(std::int64_t v) const { as_made(std::to_string(v)); }
    void operator()(double v) const {
      std::array<char, 32> digits{};
      const auto [end, wrong] = std::to_chars(digits.data(), digits.data() + digits.size(), v);
      as_made(std::string(digits.data(), end));
    }
    void operator()(const std::string& v) const { as_it_is(v.c_str(), v.size(), as_text_format); }
    void operator()(const bytes& v) const {
      // NOLINTNEXTLINE(*-reinterpret-cast): bytes are characters to libpq
      const char* data = v.empty() ? "" : reinterpret_cast<const char*>(v.data());
      as_it_is(data, v.size(), as_binary_format);
    }
    void operator()(const numeric& v) const { (*this)(v.text); }
    void operator()(const json& v) const { (*this)(v.text); }
    void operator()(const uuid& v) const { as_made(v.text()); }
    void operator()(timestamp v) const { as_made(as_text(v) + "+00"); }
    void operator()(const detail::array_value& v) const { (*this)(v.text); }
    void operator()(const detail::composite_value& v) const { (*this)(v.text); }
  };
  for (const auto& each : all) {
    std::visit(visitor{add, add_made}, each);
    const auto size = static_cast<std::size_t>(made.lengths_.back());
    if (made.formats_.back() == as_text_format && made.values_.back() != nullptr &&
        std::strlen(made.values_.back()) != size)
      return refused("$" + std::to_string(made.values_.size()) + " has a zero byte, which no text may have");
  }
  return made;
}

decoder::decoder(const PGresult* of) {
  const int width = ::PQnfields(of);
  names_.reserve(static_cast<std::size_t>(width));
  kinds_.reserve(static_cast<std::size_t>(width));
  for (int c = 0; c != width; ++c) {
    names_.emplace_back(::PQfname(of, c));
    kinds_.push_back(kind_of(::PQftype(of, c)));
  }
}

std::optional<error> decoder::append(table& to, const PGresult* from, gathered_rows* copies) const {
  const int count = ::PQntuples(from);
  for (int r = 0; r != count; ++r) {
    for (std::size_t c = 0; c != kinds_.size(); ++c) {
      cell& made = to.cells.add();
      const int column = static_cast<int>(c);
      const char* const text = ::PQgetvalue(from, r, column);
      const int size = ::PQgetlength(from, r, column);
      if (size == 0 && ::PQgetisnull(from, r, column) != 0) continue;
      if (!take_cell(to, kinds_[c], text, size, made)) return malformed(names_[c]);
      if (copies != nullptr && made.size != 0 && made.bytes == text) {
        made.bytes = copies->copy(text, made.size);
      }
    }
  }
  return std::nullopt;
}

result<rows> decoder::decode(answer_ptr answer) const {
  auto made = std::make_shared<table>();
  made->columns = names_;
  if (auto why = append(*made, answer.get(), nullptr)) return *std::move(why);
  const std::string_view tag(::PQcmdStatus(answer.get()));
  if (!tag.starts_with("SELECT") && !tag.starts_with("FETCH")) {
    const char* const affected = ::PQcmdTuples(answer.get());
    parse(affected, static_cast<int>(std::strlen(affected)), made->affected);
  }
  made->source = std::shared_ptr<PGresult>(std::move(answer));
  return rows(std::move(made));
}

result<rows> decoder::decode(std::vector<answer_ptr> answers) const {
  auto made = std::make_shared<table>();
  made->columns = names_;
  for (const answer_ptr& each : answers) {
    if (auto why = append(*made, each.get(), nullptr)) return *std::move(why);
  }
  made->source = std::make_shared<const std::vector<answer_ptr>>(std::move(answers));
  return rows(std::move(made));
}

gathered_rows::gathered_rows(const decoder& of) : of_(of), made_(std::make_shared<table>()) {
  made_->columns = of.names_;
}

std::optional<error> gathered_rows::add(const PGresult* row) { return of_.append(*made_, row, this); }

const char* gathered_rows::copy(const char* bytes, std::size_t size) {
  constexpr std::size_t block = std::size_t{16} * 1024;
  if (size > room_) {
    room_ = std::max(block, size);
    next_ = made_->owned.emplace_back(detail::make_memory(room_)).get();
  }
  char* const to = std::exchange(next_, next_ + size);
  room_ -= size;
  std::memcpy(to, bytes, size);
  return to;
}

}  // namespace curfew::sql::postgres
