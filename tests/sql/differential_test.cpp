// Random statements on SQLite and on PostgreSQL, each held against a table that C++ keeps: the same rows, counts and errors,
// whatever is cut off at whatever moment. Long, since the table has to know what each kind of statement means.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <exception>
#include <functional>
#include <iostream>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "postgres.hpp"
#include "race.hpp"
#include "sanitizers.hpp"

namespace curfew::sql {

namespace {

/// What a cell or a parameter is.
using value = std::variant<std::monostate, bool, std::int64_t, double, std::string>;

}  // namespace

namespace detail {

/// A value whose type is known at run time alone.
template <>
void encode<value>(parameter& to, const value& from) {
  const auto visitor = [&to]<class T>(const T& one) {
    if constexpr (std::same_as<T, std::monostate>) {
      to = null_value();
    } else {
      encode(to, one);
    }
  };
  std::visit(visitor, from);
}

}  // namespace detail

namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

using null = std::monostate;
using values = std::vector<value>;  // of a row, or of a statement's parameters
using truth = std::optional<bool>;

enum class type : std::uint8_t { integer, bigint, text, boolean, real };
constexpr std::array<const char*, 5> type_names{"int", "bigint", "text", "boolean", "float8"};

bool is_null(const value& v) { return std::holds_alternative<null>(v); }

std::string show(const value& v) {
  struct visitor {
    std::string operator()(null /*none*/) const { return "NULL"; }
    std::string operator()(bool b) const { return b ? "true" : "false"; }
    std::string operator()(std::int64_t i) const { return std::to_string(i); }
    std::string operator()(double d) const { return std::to_string(d); }
    std::string operator()(const std::string& s) const { return '\'' + s + '\''; }
  };
  return std::visit(visitor(), v);
}

std::string show(const values& all) {
  std::string made;
  for (const value& each : all) made += (made.empty() ? "" : ", ") + show(each);
  return made;
}

/// A column's, as what it is declared to be.
value read(const row& from, std::size_t column, type as) {
  const auto of = [](auto found) { return found ? value(*std::move(found)) : value(null()); };
  switch (as) {
    case type::integer:
    case type::bigint:
      return of(from.get<std::optional<std::int64_t>>(column));
    case type::text:
      return of(from.get<std::optional<std::string>>(column));
    case type::boolean:
      return of(from.get<std::optional<bool>>(column));
    case type::real:
      return of(from.get<std::optional<double>>(column));
  }
  return null();
}

parameters packed(const values& all) {
  parameters made;
  for (const auto& each : all) made.add(each);
  return made;
}

/// Runs a coroutine to its end, on a loop of its own.
template <class T>
T finish(asio::awaitable<T> what) {
  std::optional<T> made;
  const auto all = [&]() -> asio::awaitable<void> { made.emplace(co_await std::move(what)); };
  asio::io_context loop(1);
  asio::co_spawn(loop, all, [](const std::exception_ptr& thrown) {
    if (thrown) std::rethrow_exception(thrown);
  });
  loop.run();
  return *std::move(made);
}

// The model.

struct column {
  std::string name;
  type is = type::integer;
  bool nullable = true;
  bool unique = false;
  bool checked = false;  // of integers: not less than `least_checked`
};
constexpr std::int64_t least_checked = -80;

struct table {
  std::string name;
  std::vector<column> columns;  // the first is the primary key
  std::vector<values> rows;

  /// What a row violates by itself.
  [[nodiscard]] std::optional<errc> wrong_with(const values& row) const {
    for (std::size_t c = 0; c != columns.size(); ++c) {
      if (!columns[c].nullable && is_null(row[c])) return errc::not_null_violation;
    }
    for (std::size_t c = 0; c != columns.size(); ++c) {
      if (columns[c].checked && !is_null(row[c]) && std::get<std::int64_t>(row[c]) < least_checked)
        return errc::check_violation;
    }
    return std::nullopt;
  }
  /// Whether another row has what may be there once.
  [[nodiscard]] bool has_already(const values& row, const values* except = nullptr) const {
    return std::ranges::any_of(rows, [&](const values& other) {
      if (&other == except) return false;
      for (std::size_t c = 0; c != columns.size(); ++c) {
        if (columns[c].unique && !is_null(row[c]) && row[c] == other[c]) return true;
      }
      return false;
    });
  }
};

/// What a statement has to answer.
struct answer {
  std::optional<std::error_code> wrong;
  std::uint64_t affected = 0;
  std::vector<values> rows;

  static answer of(errc code) { return {make_error_code(code), 0, {}}; }
};

struct statement {
  std::string text;
  values with;
  std::vector<type> columns;  // that it answers
  bool is_ordered = false;
  std::function<answer(table&)> apply;  // may leave the table in any state, if it answers an error
};

std::string show(const statement& s) { return s.text + "  <- " + show(s.with); }

// Statements by chance.

using dice = std::mt19937_64;

std::size_t below(dice& random, std::size_t count) { return static_cast<std::size_t>(random() % count); }
bool one_of(dice& random, std::size_t count) { return below(random, count) == 0; }
std::int64_t between(dice& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

std::string random_text(dice& random) {
  static const std::array<std::string, 10> some{
      "",     "a",   "B", "\xc3\xa4", "it's \"quoted\"", "\\x00", "{NULL}", "\xe6\x97\xa5\xe6\x9c\xac",
      "NULL", "\t\n"};
  std::string made = some.at(below(random, some.size()));
  if (one_of(random, 2)) made += std::to_string(below(random, 10));
  if (one_of(random, 50)) made += std::string(3'000, 'x');
  return made;
}

value random_of(dice& random, type is) {
  switch (is) {
    case type::integer:
      return between(random, -100, 100);
    case type::bigint:
      if (one_of(random, 8)) return std::numeric_limits<std::int64_t>::min();
      if (one_of(random, 8)) return std::numeric_limits<std::int64_t>::max() - between(random, 0, 3);
      return between(random, -50, 50) * 1'000'000'000'000;
    case type::text:
      return random_text(random);
    case type::boolean:
      return one_of(random, 2);
    case type::real:  // sums of these are exact
      return static_cast<double>(between(random, -400, 400)) / 4;
  }
  return null();
}

value random_for(dice& random, const column& to) {
  if (one_of(random, to.nullable ? 5 : 40)) return null();
  if (to.name == "id") return between(random, 1, 60);
  return random_of(random, to.is);
}

table random_table(dice& random, int number) {
  table made;
  made.name = "t" + std::to_string(number);
  made.columns.push_back({"id", one_of(random, 2) ? type::integer : type::bigint, false, true, false});
  const std::size_t count = 2 + below(random, 4);
  for (std::size_t c = 0; c != count; ++c) {
    column one;
    one.name = "c" + std::to_string(c);
    one.is = static_cast<type>(below(random, type_names.size()));
    one.nullable = !one_of(random, 3);
    one.unique = one_of(random, 4) && one.is != type::boolean;
    one.checked = one_of(random, 2) && one.is == type::integer;
    made.columns.push_back(std::move(one));
  }
  return made;
}

std::string declaration_of(const table& of) {
  std::string text = "create table " + of.name + " (";
  for (const column& each : of.columns) {
    if (!text.ends_with('(')) text += ", ";
    text += each.name + ' ' + type_names.at(static_cast<std::size_t>(each.is));
    if (!each.nullable) text += " not null";
    if (each.name == "id") {
      text += " primary key";
    } else if (each.unique) {
      text += " unique";
    }
    if (each.checked) text += " check (" + each.name + " >= " + std::to_string(least_checked) + ')';
  }
  return text + ')';
}

/// A condition, and what it is of a row.
struct condition {
  std::string text;
  std::function<truth(const values&)> of;
};

/// Puts a statement on one table together.
class writer {
 public:
  writer(dice& random, const table& of) : random_(random), of_(of) {}

  statement any() {
    if (one_of(random_, 40)) return wrong();
    switch (below(random_, 8)) {
      case 0:
      case 1:
      case 2:
        return insert();
      case 3:
        return update();
      case 4:
        return one_of(random_, 3) ? remove() : update();
      case 5:
        return aggregate();
      case 6:
        return one_of(random_, 2) ? groups() : distinct();
      default:
        return select();
    }
  }

  /// All rows, with each other: many.
  statement pairs() {
    made_.text =
        "select a.id, b.id from " + of_.name + " a cross join " + of_.name + " b order by a.id, b.id";
    made_.columns = {of_.columns[0].is, of_.columns[0].is};
    made_.is_ordered = true;
    made_.apply = [](table& t) {
      std::vector<value> numbers;
      for (const values& each : t.rows) numbers.push_back(each[0]);
      std::ranges::sort(numbers);
      answer all;
      for (const value& a : numbers)
        for (const value& b : numbers) all.rows.push_back({a, b});
      return all;
    };
    return std::move(made_);
  }
  statement everything() {
    made_.text = "select * from " + of_.name + " order by id";
    for (const column& each : of_.columns) made_.columns.push_back(each.is);
    made_.is_ordered = true;
    made_.apply = [](table& t) {
      answer all;
      all.rows = t.rows;
      std::ranges::sort(all.rows, {}, [](const values& row) { return row[0]; });
      return all;
    };
    return std::move(made_);
  }

 private:
  std::string place(value v) {
    made_.with.push_back(std::move(v));
    return '$' + std::to_string(made_.with.size());
  }
  std::size_t any_column() { return below(random_, of_.columns.size()); }
  value not_null(std::size_t c) {
    if (c == 0) return between(random_, 1, 60);
    return random_of(random_, of_.columns[c].is);
  }

  condition compare() {
    const std::size_t c = any_column();
    const std::string& name = of_.columns[c].name;
    const value v = one_of(random_, 20) ? value(null()) : not_null(c);
    const auto with = [&](std::string operation, auto holds) {
      return condition{name + operation + place(v), [c, v, holds](const values& row) -> truth {
                         if (is_null(row[c]) || is_null(v)) return std::nullopt;
                         return holds(row[c], v);
                       }};
    };
    switch (below(random_, 4)) {
      case 0:
        return with(" = ", [](const value& a, const value& b) { return a == b; });
      case 1:
        return with(" <> ", [](const value& a, const value& b) { return a != b; });
      case 2:
        return with(" < ", [](const value& a, const value& b) { return a < b; });
      default:
        return with(" >= ", [](const value& a, const value& b) { return a >= b; });
    }
  }

  condition simple() {
    const std::size_t c = any_column();
    const std::string& name = of_.columns[c].name;
    switch (below(random_, 7)) {
      case 0: {
        const bool is = one_of(random_, 2);
        return {name + (is ? " is null" : " is not null"),
                [c, is](const values& row) -> truth { return is_null(row[c]) == is; }};
      }
      case 1: {
        const value a = not_null(c);
        const value b = not_null(c);
        return {name + " in (" + place(a) + ", " + place(b) + ')', [c, a, b](const values& row) -> truth {
                  if (is_null(row[c])) return std::nullopt;
                  return row[c] == a || row[c] == b;
                }};
      }
      case 2: {
        const value low = between(random_, 0, 40);
        const value high = between(random_, 20, 60);
        return {"id between " + place(low) + " and " + place(high),
                [low, high](const values& row) -> truth { return low <= row[0] && row[0] <= high; }};
      }
      case 3: {
        const value instead = not_null(c);
        const value v = one_of(random_, 2) ? instead : not_null(c);
        return {"coalesce(" + name + ", " + place(instead) + ") = " + place(v),
                [c, instead, v](const values& row) -> truth {
                  return (is_null(row[c]) ? instead : row[c]) == v;
                }};
      }
      case 4:
        if (of_.columns[c].is == type::boolean) {
          return {name, [c](const values& row) -> truth {
                    if (is_null(row[c])) return std::nullopt;
                    return std::get<bool>(row[c]);
                  }};
        }
        return compare();
      default:
        return compare();
    }
  }

  condition any_condition(int depth = 2) {
    if (depth == 0 || one_of(random_, 2)) return simple();
    auto a = any_condition(depth - 1);
    if (one_of(random_, 4)) {
      return {"not (" + a.text + ')', [of = a.of](const values& row) -> truth {
                const truth known = of(row);
                return known ? truth(!*known) : known;
              }};
    }
    auto b = any_condition(depth - 1);
    // One that decides: false for "and", true for "or".
    const bool decides = one_of(random_, 2);
    return {'(' + a.text + (decides ? " or " : " and ") + b.text + ')',
            [a = a.of, b = b.of, decides](const values& row) -> truth {
              const truth left = a(row);
              const truth right = b(row);
              if (left == truth(decides) || right == truth(decides)) return decides;
              return left && right ? truth(!decides) : std::nullopt;
            }};
  }

  /// Behind the rest: " where …"; now and then it takes a while.
  condition where() {
    if (one_of(random_, 8)) return {"", [](const values& /*row*/) -> truth { return true; }};
    auto made = any_condition();
    made.text = " where " + made.text;
    if (one_of(random_, 6)) {
      made.text +=
          " and (with recursive n(x) as (select 1 union all select x + 1 from n where x < 3000) "
          "select count(*) from n) > 0";
    }
    return made;
  }

  /// " returning …" of a write.
  using returned = std::function<void(answer&, const values&)>;
  returned returning(std::string& text) {
    if (!one_of(random_, 3)) return [](answer& /*to*/, const values& /*row*/) {};
    const std::size_t c = any_column();
    text += " returning id, " + of_.columns[c].name;
    made_.columns = {of_.columns[0].is, of_.columns[c].is};
    return [c](answer& to, const values& row) { to.rows.push_back({row[0], row[c]}); };
  }

  statement insert() {
    const std::size_t count = one_of(random_, 3) ? 1 + below(random_, 3) : 1;
    std::vector<bool> named;
    std::string list;
    for (const column& each : of_.columns) {
      named.push_back(!each.nullable || !one_of(random_, 6));
      if (named.back()) list += (list.empty() ? "" : ", ") + each.name;
    }
    std::string text = "insert into " + of_.name + " (" + list + ") values ";
    std::vector<values> rows;
    for (std::size_t r = 0; r != count; ++r) {
      text += r == 0 ? "(" : ", (";
      values row;
      for (std::size_t c = 0; c != of_.columns.size(); ++c) {
        row.emplace_back(named[c] ? random_for(random_, of_.columns[c]) : value(null()));
        if (!named[c]) continue;
        if (!text.ends_with('(')) text += ", ";
        text += place(row.back());
      }
      text += ')';
      rows.push_back(std::move(row));
    }
    std::optional<std::size_t> sets;  // where there is such a row already
    bool does_nothing = false;
    if (one_of(random_, 4)) {
      does_nothing = true;
      text += " on conflict (id) do nothing";
    } else if (count == 1 && one_of(random_, 4)) {
      sets = 1 + below(random_, of_.columns.size() - 1);
      const std::string& name = of_.columns[*sets].name;
      text += " on conflict (id) do update set " + name + " = excluded." + name;
    }
    const returned give = returning(text);
    made_.text = std::move(text);
    made_.apply = [rows, does_nothing, sets, give](table& t) {
      answer all;
      for (const values& row : rows) {
        if (const auto wrong = t.wrong_with(row)) return answer::of(*wrong);
        const auto there =
            std::ranges::find_if(t.rows, [&row](const values& other) { return other[0] == row[0]; });
        if (there != t.rows.end() && does_nothing) continue;
        if (there != t.rows.end() && sets) {
          values changed = *there;
          changed[*sets] = row[*sets];
          if (t.has_already(changed, &*there)) return answer::of(errc::unique_violation);
          *there = changed;
          give(all, changed);
        } else {
          if (t.has_already(row)) return answer::of(errc::unique_violation);
          t.rows.push_back(row);
          give(all, row);
        }
        ++all.affected;
      }
      return all;
    };
    return std::move(made_);
  }

  struct assignment {
    std::size_t column;
    std::function<value(const value&)> to;
  };

  assignment assign(std::string& text) {
    const std::size_t c = any_column();
    const column& of = of_.columns[c];
    text += of.name + " = ";
    // What is computed may neither be there twice nor be checked: which row is the first one is nobody's to say.
    if (!of.unique && !of.checked && one_of(random_, 2)) {
      switch (of.is) {
        case type::integer: {
          const auto more = between(random_, -5, 5);
          text += of.name + " + " + place(more);
          return {
              c, [more](const value& v) { return is_null(v) ? v : value(std::get<std::int64_t>(v) + more); }};
        }
        case type::text: {
          const std::string more = "+" + std::to_string(below(random_, 10));
          text += of.name + " || " + place(more);
          return {c,
                  [more](const value& v) { return is_null(v) ? v : value(std::get<std::string>(v) + more); }};
        }
        case type::boolean:
          text += "not " + of.name;
          return {c, [](const value& v) { return is_null(v) ? v : value(!std::get<bool>(v)); }};
        case type::real: {
          const double more = static_cast<double>(between(random_, -8, 8)) / 4;
          text += of.name + " + " + place(more);
          return {c, [more](const value& v) { return is_null(v) ? v : value(std::get<double>(v) + more); }};
        }
        case type::bigint:
          break;
      }
    }
    const value v = random_for(random_, of);
    text += place(v);
    return {c, [v](const value& /*before*/) { return v; }};
  }

  statement update() {
    std::string text = "update " + of_.name + " set ";
    std::vector<assignment> all{assign(text)};
    if (one_of(random_, 3)) {
      std::string more = ", ";
      const std::size_t had = made_.with.size();
      if (auto second = assign(more); second.column != all[0].column) {
        text += more;
        all.push_back(std::move(second));
      } else {
        made_.with.resize(had);
      }
    }
    const auto which = where();
    text += which.text;
    const returned give = returning(text);
    made_.text = std::move(text);
    made_.apply = [all, of = which.of, give](table& t) {
      answer done;
      std::vector<std::size_t> chosen;
      for (std::size_t r = 0; r != t.rows.size(); ++r) {
        if (of(t.rows[r]) == truth(true)) chosen.push_back(r);
      }
      for (const std::size_t r : chosen) {
        values changed = t.rows[r];
        for (const assignment& each : all) changed[each.column] = each.to(changed[each.column]);
        if (const auto wrong = t.wrong_with(changed)) return answer::of(*wrong);
        if (t.has_already(changed, &t.rows[r])) return answer::of(errc::unique_violation);
        t.rows[r] = changed;
        give(done, changed);
        ++done.affected;
      }
      return done;
    };
    return std::move(made_);
  }

  statement remove() {
    const auto which = where();
    std::string text = "delete from " + of_.name + which.text;
    const returned give = returning(text);
    made_.text = std::move(text);
    made_.apply = [of = which.of, give](table& t) {
      answer done;
      std::erase_if(t.rows, [&](const values& row) {
        if (of(row) != truth(true)) return false;
        give(done, row);
        ++done.affected;
        return true;
      });
      return done;
    };
    return std::move(made_);
  }

  statement select() {
    const std::size_t c = any_column();
    const std::size_t by = any_column();
    const bool is_descending = one_of(random_, 2);
    const bool nulls_first = one_of(random_, 2);
    const auto which = where();
    std::string text = "select id, " + of_.columns[c].name + " from " + of_.name + which.text + " order by " +
                       of_.columns[by].name + (is_descending ? " desc" : "") +
                       (nulls_first ? " nulls first" : " nulls last") + ", id";
    std::size_t most = std::numeric_limits<std::size_t>::max();
    std::size_t first = 0;
    if (one_of(random_, 3)) {
      most = below(random_, 20);
      first = below(random_, 10);
      text += " limit " + place(static_cast<std::int64_t>(most)) + " offset " +
              place(static_cast<std::int64_t>(first));
    }
    made_.text = std::move(text);
    made_.columns = {of_.columns[0].is, of_.columns[c].is};
    made_.is_ordered = true;
    made_.apply = [=, of = which.of](table& t) {
      std::vector<values> found;
      std::ranges::copy_if(t.rows, std::back_inserter(found),
                           [&](const values& row) { return of(row) == truth(true); });
      std::ranges::sort(found, [&](const values& a, const values& b) {
        if (is_null(a[by]) != is_null(b[by])) return is_null(a[by]) == nulls_first;
        if (a[by] != b[by]) return is_descending ? b[by] < a[by] : a[by] < b[by];
        return a[0] < b[0];
      });
      answer all;
      for (std::size_t r = first; r < found.size() && all.rows.size() != most; ++r)
        all.rows.push_back({found[r][0], found[r][c]});
      return all;
    };
    return std::move(made_);
  }

  statement aggregate() {
    using fold = std::function<value(const values&)>;  // of what is not null
    std::vector<std::pair<std::size_t, fold>> folds;
    std::string text = "select count(*)";
    made_.columns = {type::bigint};
    const std::size_t count = 1 + below(random_, 3);
    for (std::size_t i = 0; i != count; ++i) {
      const std::size_t c = any_column();
      const column& of = of_.columns[c];
      const auto add = [&](std::string what, type is, fold how) {
        text += ", " + what;
        made_.columns.push_back(is);
        folds.emplace_back(c, std::move(how));
      };
      const std::size_t which = below(random_, 4);
      if (which == 0 || of.is == type::boolean) {
        add("count(" + of.name + ')', type::bigint,
            [](const values& all) { return static_cast<std::int64_t>(all.size()); });
      } else if (which == 1) {
        add("min(" + of.name + ')', of.is,
            [](const values& all) { return all.empty() ? value(null()) : *std::ranges::min_element(all); });
      } else if (which == 2 && of.is == type::integer) {
        add("cast(sum(" + of.name + ") as bigint)", type::bigint, [](const values& all) {
          std::int64_t sum = 0;
          for (const value& each : all) sum += std::get<std::int64_t>(each);
          return all.empty() ? value(null()) : value(sum);
        });
      } else if (which == 2 && of.is == type::real) {
        add("sum(" + of.name + ')', type::real, [](const values& all) {
          double sum = 0;
          for (const value& each : all) sum += std::get<double>(each);
          return all.empty() ? value(null()) : value(sum);
        });
      } else {
        add("max(" + of.name + ')', of.is,
            [](const values& all) { return all.empty() ? value(null()) : *std::ranges::max_element(all); });
      }
    }
    const auto which = where();
    made_.text = text + " from " + of_.name + which.text;
    made_.is_ordered = true;
    made_.apply = [folds, of = which.of](table& t) {
      std::vector<values> found;
      std::ranges::copy_if(t.rows, std::back_inserter(found),
                           [&](const values& row) { return of(row) == truth(true); });
      values only{static_cast<std::int64_t>(found.size())};
      for (const auto& [c, how] : folds) {
        values there;
        for (const values& row : found) {
          if (!is_null(row[c])) there.push_back(row[c]);
        }
        only.push_back(how(there));
      }
      answer all;
      all.rows.push_back(std::move(only));
      return all;
    };
    return std::move(made_);
  }

  statement groups() {
    const std::size_t c = any_column();
    const std::string& name = of_.columns[c].name;
    const auto which = where();
    const auto least = between(random_, 0, 2);
    made_.text = "select " + name + ", count(*) from " + of_.name + which.text + " group by " + name +
                 " having count(*) > " + place(least) + " order by " + name + " nulls first";
    made_.columns = {of_.columns[c].is, type::bigint};
    made_.is_ordered = true;
    made_.apply = [c, least, of = which.of](table& t) {
      std::map<value, std::int64_t> counts;  // NULL is the first
      for (const values& row : t.rows) {
        if (of(row) == truth(true)) ++counts[row[c]];
      }
      answer all;
      for (const auto& [of_one, count] : counts) {
        if (count > least) all.rows.push_back({of_one, count});
      }
      return all;
    };
    return std::move(made_);
  }

  statement distinct() {
    const std::size_t c = any_column();
    const std::string& name = of_.columns[c].name;
    made_.text = "select distinct " + name + " from " + of_.name + " order by " + name + " nulls first";
    made_.columns = {of_.columns[c].is};
    made_.is_ordered = true;
    made_.apply = [c](table& t) {
      std::set<value> seen;
      for (const values& row : t.rows) seen.insert(row[c]);
      answer all;
      for (const value& each : seen) all.rows.push_back({each});
      return all;
    };
    return std::move(made_);
  }

  statement wrong() {
    errc code = errc::syntax;
    switch (below(random_, 3)) {
      case 0:
        made_.text = "select nothing from " + of_.name;
        break;
      case 1:
        made_.text = "selct * from " + of_.name;
        break;
      default:
        made_.text = "select id from " + of_.name + " where id = $1";
        made_.with = {std::int64_t{1}, std::int64_t{2}};
        code = errc::bad_parameter;
        break;
    }
    made_.apply = [code](table& /*t*/) { return answer::of(code); };
    return std::move(made_);
  }

  dice& random_;
  const table& of_;
  statement made_;
};

// Steps: what is done is decided before, so that both databases do the same.

/// When a call's context ends.
struct moment {
  enum class kind : std::uint8_t { never, before, soon };
  kind is = kind::never;
  std::chrono::microseconds in{};

  static moment any(dice& random) {
    if (one_of(random, 20)) return {kind::before, {}};
    if (one_of(random, 8)) return {kind::soon, std::chrono::microseconds(random() % (1U << random() % 13))};
    return {};
  }
  /// A context that ends then; one that never ends does so when something hangs.
  [[nodiscard]] cancel_scope scope() const {
    if (is == kind::soon) return with_timeout(background(), in);
    auto made = with_timeout(background(), tests::program_patience);
    if (is == kind::before) made.cancel();
    return made;
  }
};

/// How a statement is run, or several together.
struct call {
  std::vector<statement> all;  // more than one: a batch
  moment ends;
  bool in_coroutine = false;
  bool keeps_rows = true;  // query, not execute
};

struct step {
  enum class kind : std::uint8_t { call, transaction, stream };
  enum class ending : std::uint8_t { commit, rollback, destroy };
  kind is = kind::call;
  std::vector<call> calls;
  moment ends;  // of a beginning
  bool in_coroutine = false;
  bool has_savepoints = false;
  ending how = ending::commit;
  moment end_ends;
  std::size_t parts = 0;  // of a stream that are read
};

call random_call(dice& random, const table& of) {
  call made;
  const std::size_t count = one_of(random, 8) ? 1 + below(random, 4) : 1;
  for (std::size_t i = 0; i != count; ++i) made.all.push_back(writer(random, of).any());
  made.ends = moment::any(random);
  made.in_coroutine = one_of(random, 2);
  made.keeps_rows = !one_of(random, 3);
  return made;
}

step random_step(dice& random, const table& of) {
  step made;
  const std::size_t which = below(random, 12);
  made.is = which == 0 ? step::kind::stream : which < 4 ? step::kind::transaction : step::kind::call;
  std::size_t count = 1;
  if (made.is == step::kind::transaction) count = 1 + below(random, 5);
  if (made.is == step::kind::stream) count = below(random, 4);
  for (std::size_t i = 0; i != count; ++i) made.calls.push_back(random_call(random, of));
  made.ends = moment::any(random);
  made.in_coroutine = one_of(random, 2);
  made.has_savepoints = one_of(random, 2);
  made.how = static_cast<step::ending>(one_of(random, 2) ? 0 : below(random, 3));
  made.end_ends = moment::any(random);
  made.parts = one_of(random, 2) ? 1'000 : 1 + below(random, 3);
  return made;
}

/// One of the databases, and the table as it has to be in it.
class side {
 public:
  side(std::string name, const std::string& url)
      : name_(std::move(name)),
        is_postgres_(name_ == "postgresql"),
        db_(url, pool_options().size(3).statements(20).grace(60s)) {}

  void begin_with(const table& fresh) {
    model_ = fresh;
    const auto made = db_.execute(background(), dynamic(declaration_of(fresh)));
    ASSERT_TRUE(made) << made.error();
  }

  void run(const step& what) {
    SCOPED_TRACE(name_);
    const auto ended_before = ended_;
    switch (what.is) {
      case step::kind::call:
        run_call(what.calls[0]);
        break;
      case step::kind::transaction:
        run_transaction(what);
        break;
      case step::kind::stream:
        run_stream(what);
        break;
    }
    if (ended_ != ended_before || ++quiet_ % 8 == 0) compare();
  }

  /// The whole table.
  void compare() {
    SCOPED_TRACE(name_);
    dice none;
    run_call({{writer(none, model_).everything()}, {}, false, true});
  }

  void tell() const {
    std::cout << "[   TOLD   ] " << name_ << ": " << calls_ << " calls, " << refused_ << " refused, "
              << ended_ << " ended, of these " << over_ << " with their transaction; " << committed_
              << " transactions committed\n";
  }

 private:
  /// What a call has answered.
  struct told {
    std::optional<error> wrong;
    std::vector<rows> all;
    std::uint64_t affected = 0;

    told(const result<rows>& done) {  // NOLINT(google-explicit-constructor)
      if (!done) {
        wrong = done.error();
        return;
      }
      all.push_back(*done);
      affected = done->affected();
    }
    told(const result<std::uint64_t>& done) {  // NOLINT(google-explicit-constructor)
      if (!done) {
        wrong = done.error();
      } else {
        affected = *done;
      }
    }
    told(const result<std::vector<rows>>& done) {  // NOLINT(google-explicit-constructor)
      if (done) {
        all = *done;
      } else {
        wrong = done.error();
      }
    }
  };

  template <class On>
  static told ask(On& on, const call& what, const context& ctx) {
    if (what.all.size() > 1) {
      batch together;
      for (const statement& each : what.all) together.add(dynamic(each.text), packed(each.with));
      if (what.in_coroutine) return finish(on.async_run_batch(ctx, together));
      return on.run_batch(ctx, together);
    }
    const statement& one = what.all[0];
    const auto text = dynamic(one.text);
    const parameters with = packed(one.with);
    if (what.keeps_rows) {
      if (what.in_coroutine) return finish(on.async_query(ctx, text, with));
      return on.query(ctx, text, with);
    }
    if (what.in_coroutine) return finish(on.async_execute(ctx, text, with));
    return on.execute(ctx, text, with);
  }

  /// Whether a call says that its context has ended, which it may.
  bool is_ended(const error& why, const moment& when) {
    if (why != curfew::errc::canceled && why != curfew::errc::deadline_exceeded) return false;
    ++ended_;
    EXPECT_NE(when.is, moment::kind::never) << why;
    EXPECT_EQ(why,
              when.is == moment::kind::before ? curfew::errc::canceled : curfew::errc::deadline_exceeded);
    EXPECT_EQ(why.outcome(), outcome::did_not_happen) << why;
    return true;
  }

  enum class end : std::uint8_t { done, refused, ended, over };

  /// Runs a call, and holds what it answers against what the table says, which it changes.
  template <class On>
  end check(On& on, const call& what, table& held_against) {
    std::string trace;
    for (const statement& each : what.all) trace += show(each) + "; ";
    SCOPED_TRACE(trace);
    ++calls_;
    const auto scope = what.ends.scope();
    const told said = ask(on, what, scope.ctx());
    if (said.wrong) {
      if (is_ended(*said.wrong, what.ends)) return end::ended;
      if (*said.wrong == std::errc::operation_not_permitted) return end::over;
    }
    EXPECT_NE(what.ends.is, moment::kind::before) << "its context had ended";
    table changed = held_against;
    for (std::size_t i = 0; i != what.all.size(); ++i) {
      const statement& each = what.all[i];
      const answer expected = each.apply(changed);
      if (expected.wrong) {
        ++refused_;
        EXPECT_TRUE(said.wrong) << "expected: " << expected.wrong->message();
        if (said.wrong) {
          EXPECT_EQ(said.wrong->code(), *expected.wrong) << *said.wrong;
        }
        return end::refused;
      }
      if (said.wrong) continue;
      if (what.all.size() == 1) {
        EXPECT_EQ(said.affected, expected.affected);
      }
      if (said.all.empty()) continue;  // of execute
      expect_rows(each, said.all.at(i), expected);
    }
    EXPECT_FALSE(said.wrong) << *said.wrong;
    held_against = std::move(changed);
    return end::done;
  }

  static void expect_rows(const statement& of, const rows& said, const answer& expected) {
    EXPECT_EQ(said.affected(), expected.affected);
    EXPECT_EQ(said.columns().size(), of.columns.size());
    if (said.columns().size() != of.columns.size()) return;
    expect_same(of, values_of(said, of), expected.rows);
  }
  static std::vector<values> values_of(const rows& said, const statement& of) {
    std::vector<values> made;
    for (std::size_t r = 0; r != said.size(); ++r) {
      values one;
      for (std::size_t c = 0; c != of.columns.size(); ++c) one.push_back(read(said[r], c, of.columns[c]));
      made.push_back(std::move(one));
    }
    return made;
  }
  static void expect_same(const statement& of, std::vector<values> said, std::vector<values> expected) {
    if (!of.is_ordered) {
      std::ranges::sort(said);
      std::ranges::sort(expected);
    }
    ASSERT_EQ(said.size(), expected.size());
    for (std::size_t r = 0; r != said.size(); ++r)
      ASSERT_TRUE(said[r] == expected[r])
          << "row " << r << " is " << show(said[r]) << ", not " << show(expected[r]);
  }

  void run_call(const call& what) { EXPECT_NE(check(db_, what, model_), end::over); }

  std::optional<transaction> begin(const step& what) {
    const auto scope = what.ends.scope();
    std::optional<transaction> made;
    const auto keep = [&](result<transaction> begun) {
      if (begun) {
        made.emplace(*std::move(begun));
      } else {
        EXPECT_TRUE(is_ended(begun.error(), what.ends)) << begun.error();
      }
    };
    if (what.in_coroutine) {
      keep(finish(db_.async_begin(scope.ctx())));
    } else {
      keep(db_.begin(scope.ctx()));
    }
    return made;
  }

  static result<> finish_transaction(transaction& on, const step& what, const context& ctx) {
    const bool commits = what.how == step::ending::commit;
    if (!what.in_coroutine) return commits ? on.commit(ctx) : on.rollback(ctx);
    return finish(commits ? on.async_commit(ctx) : on.async_rollback(ctx));
  }

  void run_transaction(const step& what) {
    auto on = begin(what);
    if (!on) return;
    table inside = model_;
    bool was_cut = false;  // from then on it may be over
    bool is_failed = false;
    const auto is_over = [&](const error& why) {
      if (why != std::errc::operation_not_permitted) return false;
      EXPECT_TRUE(was_cut) << why;
      ++over_;
      return true;
    };
    for (const call& each : what.calls) {
      // PostgreSQL ends a transaction by the first error, and SQLite does not: behind a savepoint they are the same.
      const bool has_savepoint = what.has_savepoints || each.all.size() > 1;
      if (has_savepoint) {
        const auto saved = on->execute(background(), "savepoint s");
        if (!saved && is_over(saved.error())) return;
        ASSERT_TRUE(saved) << saved.error();
      }
      const end how = check(*on, each, inside);
      if (how == end::over) {
        EXPECT_TRUE(was_cut);
        ++over_;
        return;
      }
      if (how == end::ended) {
        was_cut = true;
        if (!has_savepoint) continue;
      }
      if (has_savepoint && how != end::done) {
        const auto back = on->execute(background(), "rollback to s");
        if (!back && is_over(back.error())) return;
        ASSERT_TRUE(back) << back.error();
      } else if (how == end::refused) {
        is_failed = true;
        break;
      }
    }
    compare();  // others see nothing of it
    if (what.how == step::ending::destroy) return;
    const auto scope = what.end_ends.scope();
    const auto done = finish_transaction(*on, what, scope.ctx());
    const bool commits = what.how == step::ending::commit;
    const auto behind = on->execute(background(), "select 1");
    EXPECT_TRUE(!behind && behind.error() == std::errc::operation_not_permitted) << "behind its end";
    if (done) {
      EXPECT_FALSE(commits && is_failed && is_postgres_) << "a failed transaction was committed";
      EXPECT_NE(what.end_ends.is, moment::kind::before) << "its context had ended";
      if (!commits) return;
      model_ = std::move(inside);
      ++committed_;
      return;
    }
    if (is_ended(done.error(), what.end_ends) || is_over(done.error())) return;
    EXPECT_TRUE(commits && is_failed && is_postgres_) << done.error();
    EXPECT_EQ(done.error(), errc::rolled_back);
  }

  void run_stream(const step& what) {
    dice none;
    const statement all = writer(none, model_).pairs();
    SCOPED_TRACE(all.text);
    const auto scope = what.ends.scope();
    std::optional<row_stream> from;
    const auto keep = [&](result<row_stream> begun) {
      if (begun) {
        from.emplace(*std::move(begun));
      } else {
        EXPECT_TRUE(is_ended(begun.error(), what.ends)) << begun.error();
      }
    };
    if (what.in_coroutine) {
      keep(finish(db_.async_stream(scope.ctx(), dynamic(all.text))));
    } else {
      keep(db_.stream(scope.ctx(), dynamic(all.text)));
    }
    if (!from) return;
    table as_it_was = model_;
    const answer expected = all.apply(as_it_was);
    std::vector<values> seen;
    for (std::size_t part = 0; part != what.parts; ++part) {
      const auto of_part = what.end_ends.is == moment::kind::soon ? what.end_ends.scope() : moment().scope();
      const auto some =
          what.in_coroutine ? finish(from->async_next(of_part.ctx())) : from->next(of_part.ctx());
      if (!some) {
        EXPECT_TRUE(is_ended(some.error(), what.end_ends)) << some.error();
        const auto none_more = from->next(background());
        ASSERT_TRUE(none_more) << none_more.error();
        EXPECT_TRUE(none_more->empty());
        break;
      }
      if (some->empty()) {
        expect_same(all, seen, expected.rows);
        break;
      }
      std::ranges::move(values_of(*some, all), std::back_inserter(seen));
      // What others change meanwhile is not seen.
      if (part < what.calls.size()) run_call(what.calls[part]);
    }
    ASSERT_LE(seen.size(), expected.rows.size());
    EXPECT_TRUE(std::ranges::equal(seen, std::span(expected.rows).first(seen.size())));
  }

  const std::string name_;
  const bool is_postgres_;
  pool db_;
  table model_;
  unsigned calls_ = 0;
  unsigned refused_ = 0;
  unsigned ended_ = 0;
  unsigned over_ = 0;
  unsigned committed_ = 0;
  unsigned quiet_ = 0;
};

TEST(Differential, BothDatabasesDoWhatATableDoes) {
  CURFEW_NEEDS_PROGRAMS("postgres", "initdb", "psql");
  dice random(testing::announce_seed("a statement that does something else than the others'"));
  const tests::own_folder folder;
  side sqlite("sqlite", "sqlite:" + folder / "test.db");
  side postgres("postgresql", tests::postgres_server::shared().new_database());
  constexpr int steps = tests::under_thread_sanitizer ? 30 : 80;
  const testing::time_box box(4s);
  for (int round = 0; round == 0 || box.open(); ++round) {
    const table fresh = random_table(random, round);
    SCOPED_TRACE(declaration_of(fresh));
    for (side* each : {&sqlite, &postgres}) each->begin_with(fresh);
    for (int i = 0; i != steps && !HasFailure(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      const step what = random_step(random, fresh);
      for (side* each : {&sqlite, &postgres}) each->run(what);
    }
    for (side* each : {&sqlite, &postgres}) each->compare();
    if (HasFailure()) break;
  }
  for (side* each : {&sqlite, &postgres}) each->tell();
}

}  // namespace
}  // namespace curfew::sql
