#include "sql/postgres/address.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <ranges>
#include <string_view>
#include <vector>

#include "sql/postgres/answer.hpp"

namespace curfew::sql::postgres {

namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  for (const auto part : std::views::split(list, ',')) parts.emplace_back(part.begin(), part.end());
  return parts;
}

/// Each host by itself, so that the one that does not answer is passed over: libpq alone would wait for it for good. Where
/// the lists do not fit each other, or leave one to libpq's default, it is libpq's to say: a host that says nothing.
std::vector<host> hosts_of(const std::string& names, const std::string& numeric, const std::string& ports) {
  const auto all_names = split(names);
  const auto all_numeric = split(numeric);
  const auto all_ports = split(ports);
  const std::size_t count = std::max(all_names.size(), all_numeric.size());
  const auto fits = [count](const std::vector<std::string>& list) {
    return list.empty() || list.size() == count;
  };
  const auto at = [](const std::vector<std::string>& list, std::size_t i) {
    return list.empty() ? std::string() : list[i];
  };
  std::vector<host> made;
  if (fits(all_names) && fits(all_numeric) && (fits(all_ports) || all_ports.size() == 1)) {
    for (std::size_t i = 0; i != count; ++i) {
      made.push_back({at(all_names, i), at(all_numeric, i), at(all_ports, all_ports.size() == 1 ? 0 : i)});
    }
  }
  if (made.empty() || std::ranges::any_of(made, &host::says_nothing)) return {host{}};
  return made;
}

}  // namespace

result<address> parse_url(const std::string& url) {
  char* why = nullptr;
  const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> all(
      ::PQconninfoParse(url.c_str(), &why), &::PQconninfoFree);
  const std::unique_ptr<char, void (*)(void*)> said(why, &::PQfreemem);
  if (!all) return error(errc::bad_url, "postgresql://…", error_details::saying(trimmed(said.get())));
  const auto value_of = [&all](std::string_view keyword) {
    for (const PQconninfoOption* each = all.get(); each->keyword != nullptr; ++each) {
      if (each->keyword == keyword && each->val != nullptr) return std::string(each->val);
    }
    return std::string();
  };
  address made;
  std::string& text = made.shown;
  text = value_of("dbname");
  const std::string host = value_of("host").empty() ? value_of("hostaddr") : value_of("host");
  text += " on " + (host.empty() ? "the local server" : host);
  if (const auto port = value_of("port"); !port.empty()) text += ':' + port;
  const std::string timeout = value_of("connect_timeout");
  int seconds = 0;
  std::from_chars(timeout.data(), timeout.data() + timeout.size(),
                  seconds);  // libpq refuses what is no number
  made.connect_timeout = std::chrono::seconds(std::max(seconds, 0));
  made.hosts = hosts_of(value_of("host"), value_of("hostaddr"), value_of("port"));
  made.in_any_order = value_of("load_balance_hosts") == "random";
  made.prefers_standby =
      !made.hosts.front().says_nothing() && value_of("target_session_attrs") == "prefer-standby";
  return made;
}

}  // namespace curfew::sql::postgres
