#include "http/client/client_url.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "http/message/syntax.hpp"
#include "http/message/target.hpp"

namespace curfew::http {

namespace {

constexpr std::size_t longest_host = 255;  // of a name of DNS

bool is_loopback(std::string_view host) {
  return host == "localhost" || host.ends_with(".localhost") || host == "[::1]" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

/// What follows from the text, the host and the port.
void set_parts(client_url& of, std::string host, std::string_view port) {
  std::from_chars(port.data(), port.data() + port.size(), of.port);
  const bool is_default = of.port == (of.tls ? 443 : 80);
  of.authority = is_default ? host : host + ':' + std::string(port);
  const std::size_t path = of.text.find_first_of("/?", of.text.find("://") + 3);
  of.target = path == std::string::npos ? "/" : of.text.substr(path);
  if (of.target.front() == '?') of.target.insert(0, 1, '/');
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  of.host =
      host.ends_with(".localhost") ? "localhost" : std::move(host);  // RFC 6761: all of them are this machine
}

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const char l = to_lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/// Percent-decoded; what is no escape stays.
std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_value(text[i + 2]) : -1;
    if (low < 0) {
      out += text[i];
    } else {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

/// Bytes beyond ASCII are percent-encoded, as browsers do.
std::string ascii(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80) {
      out += c;
    } else {
      append_escaped(out, c);
    }
  }
  return out;
}

/// RFC 3986, section 5.2.4.
std::string without_dot_segments(std::string_view in) {
  std::string out;
  while (!in.empty()) {
    if (in.starts_with("/./") || in == "/.") {
      in = in.size() > 2 ? in.substr(2) : std::string_view("/");
    } else if (in.starts_with("/../") || in == "/..") {
      in = in.size() > 3 ? in.substr(3) : std::string_view("/");
      out.erase(out.empty() ? 0 : out.rfind('/'));
    } else {
      const std::size_t end = std::min(in.find('/', 1), in.size());
      out += in.substr(0, end);
      in.remove_prefix(end);
    }
  }
  return out.empty() ? "/" : out;
}

/// An address of IPv4 in one of the notations that the system takes for one (inet_aton): 127.1, 0x7f.1, 2130706433.
std::optional<std::string> ipv4_of(std::string_view host) {
  std::array<std::uint64_t, 4> parts{};
  std::size_t count = 0;
  for (bool last = false; !last;) {
    if (count == parts.size()) return std::nullopt;
    const std::size_t point = host.find('.');
    std::string_view part = host.substr(0, point);
    last = point == std::string_view::npos;
    if (!last) host.remove_prefix(point + 1);
    int base = 10;
    if (part.size() > 1 && part[0] == '0') {
      base = to_lower(part[1]) == 'x' ? 16 : 8;
      part.remove_prefix(base == 16 ? 2 : 1);
    }
    const char* const begin = part.data();
    const char* const end = begin + part.size();
    const auto [stop, failed] = std::from_chars(begin, end, parts[count], base);
    if (failed != std::errc() || stop != end || parts[count] > 0xffffffff) return std::nullopt;
    ++count;
  }
  // The last number fills what the others leave.
  std::uint64_t address = parts[count - 1];
  if (address >> (8 * (5 - count)) != 0) return std::nullopt;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    if (parts[i] > 255) return std::nullopt;
    address |= parts[i] << (24 - 8 * i);
  }
  const auto byte = [&](unsigned shift) { return std::to_string(address >> shift & 255); };
  return byte(24) + '.' + byte(16) + '.' + byte(8) + '.' + byte(0);
}

/// The host of an authority as it is shown and asked for, in brackets if it is an address of IPv6.
struct host_text {
  std::string shown;  // its letters as they were
  std::string zone;
};

std::optional<host_text> take_address(std::string_view inside, std::string& why) {
  host_text out;
  if (const std::size_t percent = inside.find('%'); percent != std::string_view::npos) {
    std::string_view zone = inside.substr(percent + 1);
    if (zone.starts_with("25") && zone.size() > 2) zone.remove_prefix(2);  // RFC 6874
    if (zone.empty() || !std::ranges::all_of(zone, is_unreserved)) {
      why = "its zone is not the name of an interface";
      return std::nullopt;
    }
    out.zone = zone;
    inside = inside.substr(0, percent);
  }
  in6_addr address{};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (inet_pton(AF_INET6, std::string(inside).c_str(), &address) != 1 ||
      inet_ntop(AF_INET6, &address, text.data(), text.size()) == nullptr) {
    why = "what is in brackets is not an address of IPv6";
    return std::nullopt;
  }
  out.shown.append(1, '[').append(text.data()).append(1, ']');
  return out;
}

std::optional<host_text> take_host(std::string_view host, std::string& why) {
  if (host.empty() || host.find_first_not_of('.') == std::string_view::npos) {
    why = "it names no host";
    return std::nullopt;
  }
  if (host.front() == '[') return take_address(host.substr(1, host.size() - 2), why);
  if (std::ranges::any_of(host, [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    why = "its host has letters beyond ASCII: DNS has a name for it that begins with xn--";
    return std::nullopt;
  }
  const auto is_bad = [](char c) {
    return to_lower(c) == c && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' &&
           c != '_' && c != '~';
  };
  if (host.size() > longest_host || std::ranges::any_of(host, is_bad)) {
    why = "its host cannot be written as a name of DNS";
    return std::nullopt;
  }
  host_text out;
  if (auto address = ipv4_of(host)) {
    out.shown = *std::move(address);
  } else {
    out.shown = host;
  }
  return out;
}

bool take_user(client_url& out, std::string_view userinfo, std::string& why) {
  const std::size_t colon = std::min(userinfo.find(':'), userinfo.size());
  out.user = decoded(userinfo.substr(0, colon));
  out.password = decoded(userinfo.substr(std::min(colon + 1, userinfo.size())));
  out.has_user = !userinfo.empty();
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; };
  if (std::ranges::none_of(out.user, is_control) && std::ranges::none_of(out.password, is_control))
    return true;
  why = "its user or password has a control character";
  return false;
}

bool is_digits(std::string_view text) noexcept {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// \param text  "HTTP://user@host:80/path?query#fragment", without blanks and control characters.
std::optional<client_url> take_apart(std::string_view text, std::string& why) {
  client_url out;
  const std::string scheme = lowered(text.substr(0, text.find(':')));
  if (scheme != "http" && scheme != "https") {
    why = "the scheme is neither http nor https";
    return std::nullopt;
  }
  out.tls = scheme == "https";
  text.remove_prefix(scheme.size() + 3);
  text = text.substr(0, text.find('#'));
  const std::size_t path = std::min(text.find_first_of("/?"), text.size());
  std::string_view authority = text.substr(0, path);
  text.remove_prefix(path);
  if (const std::size_t at = authority.find('@'); at != std::string_view::npos) {
    if (!take_user(out, authority.substr(0, at), why)) return std::nullopt;
    authority.remove_prefix(at + 1);
  }
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  const std::size_t colon = bracket == std::string_view::npos ? bracket : authority.find(':', bracket);
  const std::size_t host_end = std::min(colon, authority.size());
  if (bracket != 0 && bracket + 1 != host_end) {
    why = "what is in brackets is not an address of IPv6";
    return std::nullopt;
  }
  const auto host = take_host(authority.substr(0, host_end), why);
  if (!host) return std::nullopt;
  std::string_view given = authority.substr(std::min(host_end + 1, authority.size()));
  unsigned number = 0;
  if (!given.empty()) {
    const auto [end, failed] = std::from_chars(given.data(), given.data() + given.size(), number);
    if (!is_digits(given) || failed != std::errc() || number == 0 || number > 65535) {
      why = "its port is not a number from 1 to 65535";
      return std::nullopt;
    }
  }
  const std::string port = std::to_string(number != 0 ? number : out.tls ? 443U : 80U);
  std::string shown = host->shown;
  std::string host_name = lowered(shown);
  std::string zoned = host_name;
  if (!host->zone.empty()) {
    shown.insert(shown.size() - 1, "%25" + host->zone);
    zoned.insert(zoned.size() - 1, '%' + host->zone);
  }
  out.loopback = is_loopback(host_name);
  out.origin = scheme + "://" + zoned + ':' + port;
  out.text = scheme + "://" + shown;
  if (number != 0) out.text.append(1, ':').append(port);
  const std::size_t query = std::min(text.find('?'), text.size());
  out.text += without_dot_segments(ascii(text.substr(0, query)));
  if (query + 1 < text.size()) out.text += ascii(text.substr(query));
  set_parts(out, std::move(host_name), port);
  if (!host->zone.empty()) out.host += '%' + host->zone;
  return out;
}

bool is_writable(std::string_view text, std::string& why) {
  if (std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; }))
    return true;
  why = "it has a space or a control character";
  return false;
}

/// A name that is not a number in disguise, or an address of four plain numbers.
bool is_plain_host(std::string_view host) noexcept {
  if (host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") != std::string_view::npos)
    return false;
  if (host.empty() || host.size() > longest_host || host.front() == '.' || host.front() == '-' ||
      host.back() == '.')
    return false;
  const std::size_t last = host.rfind('.') + 1;  // 0 without a point
  if (host[last] < '0' || host[last] > '9') return true;
  int numbers = 0;
  for (;; ++numbers) {
    const std::string_view number = host.substr(0, host.find('.'));
    if (!is_digits(number) || number.size() > 3 || (number.size() > 1 && number.front() == '0')) return false;
    if (number.size() == 3 && number > "255") return false;
    if (number.size() == host.size()) return numbers == 3;
    host.remove_prefix(number.size() + 1);
  }
}

/// A URL that is in its normal form already, as nearly all are: what take_apart() would make of it, at less cost.
std::optional<client_url> take_plain(std::string_view text) {
  const bool tls = text.starts_with("https://");
  const std::string_view scheme = tls ? "https://" : "http://";
  if (!text.starts_with(scheme)) return std::nullopt;
  const std::size_t path = text.find('/', scheme.size());
  if (path == std::string_view::npos) return std::nullopt;
  const std::string_view target = text.substr(path);
  if (target.ends_with('?')) return std::nullopt;  // a query that is empty is left out
  for (std::size_t i = 0; i < target.size(); ++i) {
    const char c = target[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && std::string_view("-._~!$&'()*+,;=:@/?").find(c) == std::string_view::npos)
      return std::nullopt;
    if (c == '.' && i > 0 && target[i - 1] == '/') return std::nullopt;
  }
  std::string_view host = text.substr(scheme.size(), path - scheme.size());
  std::string_view port = tls ? "443" : "80";
  if (const std::size_t colon = host.find(':'); colon != std::string_view::npos) {
    port = host.substr(colon + 1);
    host = host.substr(0, colon);
    if (!is_digits(port) || port.front() == '0' || port.size() > 5 || (port.size() == 5 && port > "65535"))
      return std::nullopt;
  }
  if (!is_plain_host(host)) return std::nullopt;
  client_url out;
  out.tls = tls;
  out.loopback = is_loopback(host);
  out.origin.reserve(scheme.size() + host.size() + port.size() + 1);
  out.origin.append(scheme).append(host).append(1, ':').append(port);
  out.text = text;
  set_parts(out, std::string(host), port);
  return out;
}

}  // namespace

std::optional<client_url> client_url::parse(std::string_view text, std::string& why) {
  if (auto plain = take_plain(text)) return plain;
  if (text.find("://") != text.find(':') || text.find(':') == std::string_view::npos) {
    why = "it does not start with http:// or https://";
    return std::nullopt;
  }
  if (!is_writable(text, why)) return std::nullopt;
  return take_apart(text, why);
}

std::optional<client_url> client_url::resolve(std::string_view location, std::string& why) const {
  const std::size_t end = location.find_first_of(":/?#");
  if (end != std::string_view::npos && location[end] == ':') return parse(location, why);
  const std::string_view base = text;
  const std::size_t host_at = base.find("://") + 3;
  const std::size_t path = std::min(base.find_first_of("/?", host_at), base.size());
  const std::size_t query = std::min(base.find('?', path), base.size());
  std::string_view kept = base;
  if (location.starts_with("//")) {
    kept = base.substr(0, host_at - 2);
  } else if (location.starts_with('/')) {
    kept = base.substr(0, path);
  } else if (location.starts_with('?')) {
    kept = base.substr(0, query);
  } else if (!location.empty() && !location.starts_with('#')) {
    kept = base.substr(0, base.substr(0, query).rfind('/') + 1);
  }
  return parse(std::string(kept).append(location), why);
}

std::string shown_url(std::string_view text) {
  constexpr std::size_t longest = 500;
  std::string whole;
  if (const std::size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    whole = text.substr(0, scheme + 3);
    text.remove_prefix(scheme + 3);
  }
  // Where the userinfo ends is not certain in what is no URL: hide all that may be a part of it.
  if (const std::size_t at = text.rfind('@'); at != std::string_view::npos) {
    whole += "...";
    text.remove_prefix(at);
  }
  whole += text;
  std::string shown;
  for (const char c : whole) {
    if (shown.size() >= longest) return shown + "...";
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) {
      append_escaped(shown, c);
    } else {
      shown += c;
    }
  }
  return shown;
}

}  // namespace curfew::http
