#include "http/client/proxies.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cstdlib>
#include <utility>

#include "http/client/request_head.hpp"
#include "http/message/syntax.hpp"
#include "http/wire/ip.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

bool is_in(const asio::ip::address& one, const asio::ip::address& network, unsigned bits) {
  return one.is_v4() == network.is_v4() && bits <= (network.is_v4() ? 32U : 128U) &&
         first_of_network(one, bits) == first_of_network(network, bits);
}

bool names(std::string_view item, std::string_view host, std::uint16_t port) {
  if (item == "*") return true;
  const auto address = parse_ip(host.substr(0, host.find('%')));
  if (const std::size_t slash = item.find('/'); slash != std::string_view::npos) {
    const auto network = parse_ip(item.substr(0, slash));
    const auto bits = parse_number<unsigned>(item.substr(slash + 1));
    return address && network && bits && is_in(plain_ip(*address), *network, *bits);
  }
  if (item.starts_with('[')) {
    const std::size_t end = std::min(item.find(']'), item.size());
    const std::string_view behind = item.substr(std::min(end + 1, item.size()));
    if (behind.starts_with(':') && parse_number<std::uint16_t>(behind.substr(1)) != port) return false;
    item = item.substr(1, end - 1);
  } else if (const std::size_t colon = item.find(':');
             colon != std::string_view::npos && item.rfind(':') == colon) {
    if (parse_number<std::uint16_t>(item.substr(colon + 1)) != port) return false;
    item = item.substr(0, colon);
  }
  if (address) {
    const auto other = parse_ip(item);
    return other && plain_ip(*other) == plain_ip(*address);
  }
  if (item.starts_with("*.")) item.remove_prefix(1);
  if (item.starts_with('.')) item.remove_prefix(1);
  if (item.ends_with('.')) item.remove_suffix(1);
  if (host.ends_with('.')) host.remove_suffix(1);
  if (item.empty() || item.size() > host.size()) return false;
  if (!same_name(host.substr(host.size() - item.size()), item)) return false;
  return item.size() == host.size() || host[host.size() - item.size() - 1] == '.';
}

}  // namespace

bool is_excepted(std::string_view no_proxy, std::string_view host, std::uint16_t port) {
  constexpr std::string_view between = ", \t";
  for (;;) {
    no_proxy.remove_prefix(std::min(no_proxy.find_first_not_of(between), no_proxy.size()));
    if (no_proxy.empty()) return false;
    const std::size_t end = std::min(no_proxy.find_first_of(between), no_proxy.size());
    if (names(no_proxy.substr(0, end), host, port)) return true;
    no_proxy.remove_prefix(end);
  }
}

std::shared_ptr<const proxy_server> proxy_server::parse(std::string_view url, std::string_view from) {
  auto made = std::make_shared<proxy_server>();
  const bool has_scheme = url.find("://") != std::string_view::npos;
  std::string why;
  const auto parsed = client_url::parse(has_scheme ? std::string(url) : "http://" + std::string(url), why);
  const auto is_bad = [&](std::string_view problem) {
    made->problem.append("the proxy ")
        .append(shown_url(url))
        .append(" of ")
        .append(from)
        .append(": ")
        .append(problem);
    return made;
  };
  if (has_scheme && !same_name(url.substr(0, url.find("://")), "http"))
    return is_bad("only proxies over http:// are spoken with");
  if (!parsed) return is_bad(why);
  made->shown = parsed->origin;
  made->host = parsed->host;
  made->port = parsed->port;
  if (parsed->has_user) made->credentials = basic_credentials(parsed->user, parsed->password);
  return made;
}

proxy_rules::proxy_rules(std::string_view url) {
  if (!url.empty()) plain_ = tls_ = proxy_server::parse(url, "client_options");
}

proxy_rules proxy_rules::of_environment(const variables& get) {
  const auto first_of = [&](std::initializer_list<const char*> each) -> std::shared_ptr<const proxy_server> {
    for (const char* const name : each) {
      if (const std::string value = get(name); !value.empty()) return proxy_server::parse(value, name);
    }
    return nullptr;
  };
  proxy_rules made;
  // Not HTTP_PROXY: that is the field Proxy of a request to a program behind CGI.
  made.plain_ = first_of({"http_proxy", "all_proxy", "ALL_PROXY"});
  made.tls_ = first_of({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"});
  made.exceptions_ = get("no_proxy");
  if (made.exceptions_.empty()) made.exceptions_ = get("NO_PROXY");
  return made;
}

proxy_rules proxy_rules::of_environment() {
  return of_environment([](const char* name) {
    const char* const value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  });
}

std::shared_ptr<const proxy_server> proxy_rules::find(const client_url& url) const {
  const auto& one = url.tls ? tls_ : plain_;
  if (!one || url.loopback || is_excepted(exceptions_, url.host, url.port)) return nullptr;
  return one;
}

}  // namespace curfew::http
