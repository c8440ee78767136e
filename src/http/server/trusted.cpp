#include "http/server/trusted.hpp"

#include <algorithm>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/address_v6.hpp>
#include <cstddef>
#include <curfew/http/errc.hpp>
#include <utility>

#include "http/message/syntax.hpp"
#include "http/wire/ip.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

constexpr std::string_view unix_name = "unix:";

std::optional<asio::ip::address> parse_address(std::string_view text) {
  const auto address = parse_ip(text);
  return address ? std::optional(plain_ip(*address)) : std::nullopt;
}

/// A hop as fields write it: "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80", "unix:".
std::optional<host> parse_hop(std::string_view text) {
  if (text == unix_name) return host();
  if (auto address = parse_address(text)) return address;
  const bool brackets = text.starts_with('[');
  const auto end = brackets ? text.find(']') : text.find(':');
  if (end == std::string_view::npos) return std::nullopt;
  auto address = parse_address(brackets ? text.substr(1, end - 1) : text.substr(0, end));
  if (!address || address->is_v6() != brackets) return std::nullopt;
  const auto port = brackets ? text.substr(end + 1) : text.substr(end);
  if (!port.empty() && (port.front() != ':' || !is_token(port.substr(1)))) return std::nullopt;
  return address;
}

/// The items of a list that stands in the fields of one name, from the last to the first. A quoted string may hold a
/// comma.
class last_first {
 public:
  last_first(const fields& of, std::string_view name) {
    for (const auto f : of) {
      if (same_name(f.name, name)) lines_.push_back(f.value);
    }
  }

  std::optional<std::string_view> next() {
    while (!lines_.empty()) {
      auto& line = lines_.back();
      const auto comma = last_comma(line);
      const auto item = trimmed(comma == std::string_view::npos ? line : line.substr(comma + 1));
      if (comma == std::string_view::npos) {
        lines_.pop_back();
      } else {
        line = line.substr(0, comma);
      }
      if (!item.empty()) return item;
    }
    return std::nullopt;
  }

 private:
  static bool is_escaped(std::string_view line, std::size_t at) {
    std::size_t before = 0;
    while (before < at && line[at - before - 1] == '\\') ++before;
    return before % 2 == 1;
  }
  // From the right, since only that is a trusted proxy's: a quote that the client has opened must not reach it.
  static std::size_t last_comma(std::string_view line) {
    bool quoted = false;
    for (std::size_t at = line.size(); at-- != 0;) {
      if (line[at] == '"' && !(quoted && is_escaped(line, at))) quoted = !quoted;
      if (line[at] == ',' && !quoted) return at;
    }
    return std::string_view::npos;
  }

  std::vector<std::string_view> lines_;
};

struct hop {
  host address;
  bool https = false;
};

/// The value of a pair of Forwarded at the front of `rest`: a token or a quoted string.
std::optional<std::string> take_value(std::string_view& rest) {
  std::string value;
  if (rest.starts_with('"')) {
    std::size_t at = 1;
    for (; at < rest.size() && rest[at] != '"'; ++at) {
      if (rest[at] == '\\') ++at;
      if (at == rest.size()) return std::nullopt;
      value += rest[at];
    }
    if (at == rest.size()) return std::nullopt;
    rest.remove_prefix(at + 1);
  } else {
    // Not token_size(): a ':' of "192.0.2.1:80" is none of a token's, and is often sent without quotes.
    value = trimmed(rest.substr(0, rest.find(';')));
    rest.remove_prefix(std::min(rest.size(), rest.find(';')));
  }
  rest = trimmed(rest);
  if (!rest.empty() && !rest.starts_with(';')) return std::nullopt;
  return value;
}

/// An element of Forwarded: `for="[2001:db8::1]:80";proto=https`.
std::optional<hop> parse_element(std::string_view rest) {
  std::optional<host> from;
  bool https = false;
  while (!rest.empty()) {
    if (rest.starts_with(';')) {  // between two pairs, or around none
      rest = trimmed(rest.substr(1));
      continue;
    }
    const auto name = rest.substr(0, rest.find('='));
    if (!is_token(name) || name.size() == rest.size()) return std::nullopt;
    rest.remove_prefix(name.size() + 1);
    const auto value = take_value(rest);
    if (!value) return std::nullopt;
    if (same_name(name, "for")) {
      if (from) return std::nullopt;
      from = parse_hop(*value);
      if (!from) return std::nullopt;
    } else if (same_name(name, "proto")) {
      https = same_name(*value, "https");
    }
  }
  if (!from) return std::nullopt;
  return hop{*from, https};
}

}  // namespace

std::string text_of(const host& h) { return h ? h->to_string() : std::string(unix_name); }

result<trusted_networks> trusted_networks::parse(const std::vector<std::string>& list) {
  trusted_networks made;
  for (const std::string& text : list) {
    const auto fail = [&](const std::string& how) {
      std::string doing = "trusting \"";
      doing.append(text).append("\" (").append(how) += ')';
      return error(make_error_code(errc::bad_address), doing);
    };
    if (text == unix_name) {
      made.unix_ = true;
      continue;
    }
    const auto slash = text.find('/');
    const auto address = parse_address(std::string_view(text).substr(0, slash));
    const unsigned all = address && address->is_v4() ? 32 : 128;
    const auto bits =
        slash == std::string::npos ? all : parse_number<unsigned>(std::string_view(text).substr(slash + 1));
    if (!address || !bits || *bits > all)
      return fail("write it as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1; unix: is for Unix sockets");
    if (const auto whole = first_of_network(*address, *bits); whole != *address) {
      return fail("a network begins with its prefix: write " + whole.to_string() + '/' +
                  std::to_string(*bits));
    }
    made.networks_.push_back({*address, *bits});
  }
  return made;
}

bool trusted_networks::contains(const host& h) const {
  if (!h) return unix_;
  return std::ranges::any_of(networks_, [&](const network& n) {
    return n.address.is_v4() == h->is_v4() && first_of_network(*h, n.bits) == n.address;
  });
}

told_client find_client(const fields& of, const host& nearest, const trusted_networks& trusted,
                        forwarding by) {
  told_client client{nearest, false};
  last_first hops(of, by == forwarding::rfc7239 ? "Forwarded" : "X-Forwarded-For");
  if (by == forwarding::rfc7239) {
    while (const auto item = hops.next()) {
      const auto hop = parse_element(*item);
      if (!hop) return {nearest, false};
      client = {hop->address, hop->https};
      if (!trusted.contains(client.address)) break;
    }
    return client;
  }
  last_first schemes(of, "X-Forwarded-Proto");
  const auto scheme = schemes.next();
  client.https = scheme && same_name(*scheme, "https") && !schemes.next();
  while (const auto item = hops.next()) {
    const auto from = parse_hop(*item);
    if (!from) return {nearest, client.https};
    client.address = *from;
    if (!trusted.contains(client.address)) break;
  }
  return client;
}

}  // namespace curfew::http
