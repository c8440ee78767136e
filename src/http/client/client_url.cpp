#include "http/client/client_url.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <memory>

namespace curfew::http {

namespace {

struct free_curl {
  void operator()(CURLU* url) const noexcept { curl_url_cleanup(url); }
  void operator()(char* text) const noexcept { curl_free(text); }
};
using curl_url_ptr = std::unique_ptr<CURLU, free_curl>;

std::optional<std::string> part(CURLU* url, CURLUPart what, unsigned flags = 0) {
  char* text = nullptr;
  const CURLUcode code = curl_url_get(url, what, &text, flags);
  const std::unique_ptr<char, free_curl> owned(text);  // libcurl 7.88 gives one with CURLUE_BAD_HOSTNAME, too
  if (code != CURLUE_OK) return std::nullopt;
  return std::string(text);
}

void append_escaped(std::string& to, char c) {
  static constexpr char digits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  to += '%';
  to += digits[byte >> 4];
  to += digits[byte & 15];
}

/// Where the authority of a URL begins; npos: it is relative and has none.
std::size_t authority_of(std::string_view text) {
  const std::size_t colon = text.find_first_of(":/?#");
  const bool absolute = colon != std::string_view::npos && text[colon] == ':';
  if (!absolute && !text.starts_with("//")) return std::string_view::npos;
  return std::min(text.find_first_not_of('/', absolute ? colon + 1 : 0), text.size());
}

/// Bytes beyond ASCII, percent-encoded after the authority, as browsers send them.
std::string ascii(std::string_view text) {
  const std::size_t authority = authority_of(text);
  const std::size_t path =
      authority == std::string_view::npos ? 0 : std::min(text.find_first_of("/?#", authority), text.size());
  std::string out(text.substr(0, path));
  for (const char c : text.substr(path)) {
    if (static_cast<unsigned char>(c) < 0x80) {
      out += c;
    } else {
      append_escaped(out, c);
    }
  }
  return out;
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host.ends_with(".localhost") || host == "[::1]" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

/// RFC 3986: what needs no percent-encoding anywhere.
bool is_unreserved(std::string_view text) noexcept {
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._~").find(c) != std::string_view::npos;
  });
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

std::optional<client_url> take_apart(CURLU* url, std::string& why) {
  client_url out;
  const std::string scheme = part(url, CURLUPART_SCHEME).value_or("");
  if (scheme != "http" && scheme != "https") {
    why = "the scheme is neither http nor https";
    return std::nullopt;
  }
  out.tls = scheme == "https";
  if (auto user = part(url, CURLUPART_USER, CURLU_URLDECODE)) {
    out.has_user = true;
    out.user = *std::move(user);
  }
  if (auto password = part(url, CURLUPART_PASSWORD, CURLU_URLDECODE)) {
    out.has_user = true;
    out.password = *std::move(password);
  }
  for (const CURLUPart unsent : {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS, CURLUPART_FRAGMENT}) {
    curl_url_set(url, unsent, nullptr, 0);
  }
  auto host = part(url, CURLUPART_HOST);
  const bool is_ascii =
      !host || std::ranges::all_of(*host, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (!is_ascii) host = part(url, CURLUPART_HOST, CURLU_PUNYCODE);  // the locale says how it is written
  // libcurl has decoded it; a % is left of what cannot be.
  const auto is_bad = [](char c) { return c <= ' ' || c == 0x7f || c == '%'; };
  if ((!is_ascii && !host) || (host && std::ranges::any_of(*host, is_bad))) {
    why = "its host cannot be written as a name of DNS";
    return std::nullopt;
  }
  const auto zone = part(url, CURLUPART_ZONEID);  // of an address that is local to a link: in brackets
  if (zone && (!host || !host->ends_with(']') || !is_unreserved(*zone))) {
    why = "its zone is not the name of an interface";
    return std::nullopt;
  }
  auto port = part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  auto text = part(url, CURLUPART_URL);
  if (!host || host->empty() || !port || !text) {
    why = "it names no host";
    return std::nullopt;
  }
  for (char& c : *host) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  std::string zoned = *host;
  if (zone) zoned.insert(zoned.size() - 1, '%' + *zone);
  out.loopback = is_loopback(*host);
  out.origin = scheme + "://" + zoned + ':' + *port;
  out.text = *std::move(text);
  set_parts(out, *std::move(host), *port);
  if (zone) out.host += '%' + *zone;
  return out;
}

bool set(CURLU* url, std::string_view text, std::string& why) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) {
      why = "it has a space or a control character";
      return false;
    }
  }
  if (text.find(":///") == text.find(':') && text.find(':') != std::string_view::npos) {
    why = "it names no host";  // curl would take the first segment of the path for it
    return false;
  }
  const CURLUcode code = curl_url_set(url, CURLUPART_URL, ascii(text).c_str(), CURLU_NON_SUPPORT_SCHEME);
  if (code == CURLUE_OK) return true;
  why = curl_url_strerror(code);
  return false;
}

bool is_digits(std::string_view text) noexcept {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// A name that is not a number in disguise, or an address of four plain numbers.
bool is_plain_host(std::string_view host) noexcept {
  if (host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") != std::string_view::npos)
    return false;
  if (host.empty() || host.front() == '.' || host.front() == '-' || host.back() == '.') return false;
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

/// A URL that is in its normal form already, as nearly all are: what curl would make of it, at a tenth of the cost.
std::optional<client_url> take_plain(std::string_view text) {
  constexpr std::string_view scheme = "http://";
  if (!text.starts_with(scheme)) return std::nullopt;
  const std::size_t path = text.find('/', scheme.size());
  if (path == std::string_view::npos) return std::nullopt;
  const std::string_view target = text.substr(path);
  if (target.ends_with('?')) return std::nullopt;  // curl leaves out a query that is empty
  for (std::size_t i = 0; i < target.size(); ++i) {
    const char c = target[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && std::string_view("-._~!$&'()*+,;=:@/?").find(c) == std::string_view::npos)
      return std::nullopt;
    if (c == '.' && i > 0 && target[i - 1] == '/') return std::nullopt;
  }
  std::string_view host = text.substr(scheme.size(), path - scheme.size());
  std::string_view port = "80";
  if (const std::size_t colon = host.find(':'); colon != std::string_view::npos) {
    port = host.substr(colon + 1);
    host = host.substr(0, colon);
    if (!is_digits(port) || port.front() == '0' || port.size() > 5 || (port.size() == 5 && port > "65535"))
      return std::nullopt;
  }
  if (!is_plain_host(host)) return std::nullopt;
  client_url out;
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
  const curl_url_ptr url(curl_url());
  if (!url || !set(url.get(), text, why)) return std::nullopt;
  return take_apart(url.get(), why);
}

std::optional<client_url> client_url::resolve(std::string_view location, std::string& why) const {
  const curl_url_ptr url(curl_url());
  if (!url || !set(url.get(), text, why) || !set(url.get(), location, why)) return std::nullopt;
  return take_apart(url.get(), why);
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
