#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include "redis/settings.hpp"

namespace curfew::redis {

namespace {

namespace urls = boost::urls;

constexpr std::uint16_t redis_port = 6379;
constexpr std::uint16_t sentinel_port = 26379;

error bad_url(std::string what) {
  return {errc::bad_url, "redis::client", std::move(what) + "; such as redis://user:password@host:6379/0"};
}

template <class Number>
bool parse_number(std::string_view text, Number& to) {
  const auto [stop, wrong] = std::from_chars(text.data(), text.data() + text.size(), to);
  return wrong == std::errc() && stop == text.data() + text.size();
}

/// "127.0.0.1:6379", "[::1]:6379", "host".
result<address::host> parse_host(std::string_view text, std::uint16_t port) {
  const auto colon = text.rfind(':');
  if (colon != std::string_view::npos && text.find(']', colon) == std::string_view::npos) {
    if (!parse_number(text.substr(colon + 1), port) || port == 0)
      return bad_url("a port is a number up to 65535, not \"" + std::string(text.substr(colon + 1)) + '"');
    text = text.substr(0, colon);
  }
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  if (text.empty()) return bad_url("there is no host");
  return address::host{std::string(text), port};
}

}  // namespace

result<address> parse_url(std::string_view url) {
  const auto parsed = urls::parse_uri(url);
  if (!parsed) return bad_url("not a URL");  // which may hold a password
  const urls::url_view& parts = *parsed;
  const std::string_view scheme = parts.scheme();
  const bool is_unix = scheme == "unix" || scheme == "redis+unix";
  const bool is_sentinel = scheme == "redis+sentinel" || scheme == "rediss+sentinel";
  const bool is_tls = scheme == "rediss" || scheme == "rediss+sentinel";
  if (scheme != "redis" && !is_unix && !is_sentinel && !is_tls)
    return bad_url("the scheme is redis, rediss, unix, redis+sentinel or rediss+sentinel");

  address made;
  made.tls = is_tls;
  made.user = parts.user();
  made.password = parts.password();
  std::string path = parts.path();
  std::string database;
  if (is_unix) {
    made.unix_path = std::move(path);
    if (made.unix_path.empty() || made.unix_path.size() > 107)
      return bad_url("the path of a Unix socket has 1 to 107 bytes");
    made.shown = made.unix_path;
  } else {
    const std::string_view hosts = parts.encoded_host_and_port();
    for (std::size_t at = 0; at <= hosts.size();) {
      const auto end = std::min(hosts.find(',', at), hosts.size());
      auto one = parse_host(hosts.substr(at, end - at), is_sentinel ? sentinel_port : redis_port);
      if (!one) return std::move(one).error();
      made.hosts.push_back(std::move(*one));
      at = end + 1;
    }
    if (made.hosts.size() > 1 && !is_sentinel) return bad_url("more than one host is for Sentinel");
    made.shown = hosts;
    if (path.starts_with('/')) path.erase(0, 1);
    if (is_sentinel) {
      const auto slash = path.find('/');
      made.master = path.substr(0, slash);
      if (made.master.empty()) return bad_url("the name of the master is missing, behind the hosts");
      made.shown = made.master + " of " + made.shown;
      path = slash == std::string::npos ? std::string() : path.substr(slash + 1);
    }
    database = std::move(path);
  }
  for (const auto& each : parts.params()) {
    if (each.key != "db") return bad_url("there is no parameter \"" + std::string(each.key) + '"');
    database = each.value;
  }
  if (!database.empty() && !parse_number(database, made.database))
    return bad_url("a database is a number, not \"" + database + '"');
  return made;
}

}  // namespace curfew::redis
