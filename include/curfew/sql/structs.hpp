#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/pfr/core.hpp>
#include <cstddef>
#include <curfew/sql/error.hpp>
#include <curfew/sql/pool.hpp>
#include <curfew/sql/rows.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// Rows and composite values as structs, by position: the first column, or field, is the first member.

namespace curfew::sql {

namespace detail {

[[nodiscard]] error wrong_column(const conversion_error& why);

template <class T, std::size_t... I>
T read_struct(const row& from, std::index_sequence<I...> /*members*/) {
  return T{from.get<boost::pfr::tuple_element_t<I, T>>(I)...};
}

template <class T, std::size_t... I>
T read_members(const cell& c, std::string_view column, std::index_sequence<I...> /*members*/) {
  const auto all = read_fields(c, column, sizeof...(I));
  return T{read_element<boost::pfr::tuple_element_t<I, T>>(all[I], column)...};
}

template <class T>
T read_composite(const cell& c, std::string_view column) {
  return read_members<T>(c, column, std::make_index_sequence<boost::pfr::tuple_size_v<T>>());
}

template <class T>
void encode_members(std::string& to, const T& value) {
  boost::pfr::for_each_field(value, [&to](const auto& each) { encode_field(to, each); });
}

}  // namespace detail

/// Errors: errc::conversion where the columns are not T's members, in number and type; the error names the column.
/// \tparam T  An aggregate without base classes.
template <class T>
[[nodiscard]] result<std::vector<T>> as_structs(const rows& all) {
  static_assert(std::is_aggregate_v<T>, "curfew: rows become structs that are aggregates");
  constexpr std::size_t members = boost::pfr::tuple_size_v<T>;
  try {
    if (!all.empty() && all.columns().size() != members) detail::refuse_width(all.columns().size(), members);
    std::vector<T> made;
    made.reserve(all.size());
    for (std::size_t i = 0; i != all.size(); ++i)
      made.push_back(detail::read_struct<T>(all[i], std::make_index_sequence<members>()));
    return made;
  } catch (const conversion_error& why) {
    return detail::wrong_column(why);
  }
}

namespace detail {

template <class T>
boost::asio::awaitable<result<std::vector<T>>> collect(boost::asio::awaitable<result<rows>> running) {
  auto found = co_await std::move(running);
  if (!found) co_return std::move(found).error();
  co_return as_structs<T>(*found);
}

}  // namespace detail

template <class T, class... Values>
result<std::vector<T>> pool::query_as(const context& ctx, text what, const Values&... values) {
  auto found = query(ctx, what, values...);
  if (!found) return std::move(found).error();
  return as_structs<T>(*found);
}

template <class T, class... Values>
boost::asio::awaitable<result<std::vector<T>>> pool::async_query_as(context ctx, text what,
                                                                    const Values&... values) {
  return detail::collect<T>(async_query(std::move(ctx), what, values...));
}

}  // namespace curfew::sql
