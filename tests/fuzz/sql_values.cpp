// What a server of PostgreSQL may say of a value, any bytes of any type: it is read as each type or refused, and what was
// read is written and read again as the same.
#include <libpq-fe.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/rows.hpp>
#include <curfew/sql/types.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "sql/calendar.hpp"
#include "sql/postgres/answer.hpp"

namespace {

namespace sql = curfew::sql;
using curfew::fuzz::expect;

// bool, bytea, int8, int2, text, oid, json, float4, float8, timestamp, timestamptz, numeric, uuid, int4[], text[]
constexpr std::array<Oid, 15> types{16,  17,   20,   21,   25,   26,   114, 700,
                                    701, 1114, 1184, 1700, 2950, 1007, 1009};

sql::postgres::answer_ptr answer_of(Oid type, std::string_view text) {
  std::string name("column");
  std::string bytes(text);
  std::array<PGresAttDesc, 1> columns{};
  columns[0].name = name.data();
  columns[0].typid = type;
  columns[0].typlen = -1;
  sql::postgres::answer_ptr made(::PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK));
  expect(::PQsetResultAttrs(made.get(), 1, columns.data()) != 0, "columns");
  expect(::PQsetvalue(made.get(), 0, 0, bytes.data(), static_cast<int>(bytes.size())) != 0, "a value");
  return made;
}

/// The value as a T; none: it is refused.
template <class T>
std::optional<T> read(const sql::rows& from) {
  try {
    return from[0].get<T>(0);
  } catch (const sql::conversion_error&) {
    return std::nullopt;
  }
}

/// As a server would send what a program has sent.
template <class T>
std::string as_array(const std::vector<T>& all) {
  const sql::parameters one(all);
  return std::get<sql::detail::array_value>(one.all()[0]).text;
}

template <class T>
void read_array(const sql::rows& from) {
  const auto all = read<std::vector<T>>(from);
  if (!all) return;
  const auto again = sql::postgres::decoder(answer_of(25, "").get()).decode(answer_of(25, as_array(*all)));
  expect(again && read<std::vector<T>>(*again) == all, "an array comes back as it went");
}

/// Two fields, which come back as they went.
template <class A, class B>
void read_composite(const sql::rows& from) {
  using fields = std::tuple<A, B>;
  const auto both = read<fields>(from);
  if (!both) return;
  const sql::parameters one(*both);
  const std::string& sent = std::get<sql::detail::composite_value>(one.all()[0]).text;
  const auto again = sql::postgres::decoder(answer_of(25, "").get()).decode(answer_of(25, sent));
  expect(again && read<fields>(*again) == both, "a composite value comes back as it went");
}

void read_all(const sql::rows& from, std::string_view text) {
  if (const auto number = read<std::int64_t>(from)) {
    std::int64_t same = 0;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), same);
    expect(wrong == std::errc() && same == *number && end == text.data() + text.size(), "the same number");
  }
  if (const auto words = read<std::string>(from)) expect(*words == text, "the same text");
  std::ignore = read<std::int16_t>(from);
  std::ignore = read<bool>(from);
  std::ignore = read<double>(from);
  std::ignore = read<sql::bytes>(from);
  std::ignore = read<sql::json>(from);
  std::ignore = read<sql::numeric>(from);
  std::ignore = read<sql::timestamp>(from);
  std::ignore = read<std::chrono::sys_days>(from);
  if (const auto id = read<sql::uuid>(from)) expect(sql::uuid::parse(id->text()) == *id, "the same uuid");
  read_array<std::string>(from);
  read_array<std::optional<std::string>>(from);
  read_array<std::int64_t>(from);
  read_array<std::optional<std::int16_t>>(from);
  read_array<bool>(from);
  std::ignore = read<std::vector<double>>(from);
  read_composite<std::optional<std::string>, std::optional<std::int64_t>>(from);
  read_composite<std::string, std::vector<std::string>>(from);
  read_composite<bool, std::tuple<std::optional<std::string>, bool>>(from);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  auto answer = answer_of(types.at(data[0] % types.size()), text);
  const sql::postgres::decoder columns(answer.get());
  if (const auto from = columns.decode(std::move(answer))) {
    expect(from->size() == 1 && from->columns().size() == 1, "one value");
    read_all(*from, text);
  }
  if (const auto at = sql::parse_timestamp(text))
    expect(sql::parse_timestamp(sql::as_text(*at)) == at, "the same time");
  return 0;
}
