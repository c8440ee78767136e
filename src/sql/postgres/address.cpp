#include "sql/postgres/address.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <string_view>

#include "sql/postgres/answer.hpp"

namespace curfew::sql::postgres {

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
  return made;
}

}  // namespace curfew::sql::postgres
