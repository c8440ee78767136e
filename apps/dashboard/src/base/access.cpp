#include "base/access.hpp"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "base/text.hpp"

namespace curfew_dashboard {

namespace {

std::string lower(std::string_view text) {
  std::string made(text);
  for (char& c : made) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return made;
}

bool is_loopback(std::string_view host) {
  return host == "127.0.0.1" || host == "localhost" || host == "[::1]";
}

/// Compares in a time that does not depend on where they differ.
bool same_secret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i])) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

std::optional<host_and_port> host_of(const http::request& request) {
  if (request.fields().count("Host") != 1) return std::nullopt;
  return parse_host(*request.fields().find("Host"));
}

}  // namespace

std::optional<host_and_port> parse_host(std::string_view field) {
  std::string_view host = field;
  std::string_view port;
  const auto bracket = field.starts_with('[') ? field.find(']') : 0;
  if (bracket == std::string_view::npos) return std::nullopt;
  if (const auto colon = field.find(':', bracket); colon != std::string_view::npos) {
    host = field.substr(0, colon);
    port = field.substr(colon + 1);
    if (port.empty() || port.size() > 5) return std::nullopt;
  }
  const bool digits = std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  const bool plain = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == '[' || c == ']' || c == ':';
  });
  if (host.empty() || !digits || !plain) return std::nullopt;
  return host_and_port{lower(host), std::string(port)};
}

front_access::front_access(std::string_view listening, std::vector<std::string> names)
    : names_(std::move(names)) {
  if (auto parsed = parse_host(listening)) listening_ = *std::move(parsed);
  for (std::string& name : names_) name = lower(name);
}

bool front_access::is_ours(const host_and_port& host) const {
  if (std::find(names_.begin(), names_.end(), host.host) != names_.end()) return true;
  const bool is_default = listening_.port == "80" || listening_.port == "443";
  const bool port_is_ours = host.port == listening_.port || (host.port.empty() && is_default);
  return port_is_ours && (is_loopback(host.host) || host.host == listening_.host);
}

std::optional<refusal> front_access::operator()(const http::request& request) const {
  const auto host = host_of(request);
  if (!host || !is_ours(*host)) {
    return refusal{static_cast<http::status>(421),
                   "The dashboard is not at home under this host name; --host NAME allows it."};
  }
  if (const auto origin = request.fields().find("Origin")) {
    const std::string own = lower(*request.fields().find("Host"));
    const std::string from = lower(*origin);
    if (request.fields().count("Origin") != 1 || (from != "http://" + own && from != "https://" + own)) {
      return refusal{http::status::forbidden, "Requests of pages from elsewhere are refused."};
    }
  }
  if (const auto site = request.fields().find("Sec-Fetch-Site")) {
    // Following a link or typing the address is a navigation to the page itself: it reads nothing for the
    // other site.
    const auto mode = request.fields().find("Sec-Fetch-Mode");
    const bool opens_the_page =
        mode && *mode == "navigate" && request.method() == "GET" && !request.path().starts_with("/api/");
    if (*site != "same-origin" && *site != "none" && !opens_the_page) {
      return refusal{http::status::forbidden, "Requests of pages from elsewhere are refused."};
    }
  }
  return std::nullopt;
}

std::optional<refusal> service_access::operator()(const http::request& request) const {
  const auto host = host_of(request);
  if (!host || !is_loopback(host->host)) {
    return refusal{http::status::forbidden, "A service answers programs on its own machine only."};
  }
  for (const char* sent_by_browsers : {"Origin", "Sec-Fetch-Site"}) {
    if (request.fields().contains(sent_by_browsers)) {
      return refusal{http::status::forbidden, "A service does not answer browsers."};
    }
  }
  if (!token_.empty()) {
    const auto sent = request.fields().find("Authorization");
    if (!sent || !same_secret(*sent, "Bearer " + token_)) {
      return refusal{http::status::unauthorized, "This service answers its dashboard only."};
    }
  }
  return std::nullopt;
}

std::optional<refusal> require_json(const http::request& request) {
  if (const auto type = request.fields().find("Content-Type")) {
    std::string name = lower(type->substr(0, type->find(';')));
    while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) name.pop_back();
    if (name == "application/json") return std::nullopt;
  }
  return refusal{http::status::unsupported_media_type, "The body has to be application/json."};
}

namespace {

boost::asio::awaitable<http::response> refuse(refusal why) {
  co_return error_response(why.status, why.message);
}

}  // namespace

http::handler guarded(gatekeeper gate, http::handler inner) {
  return
      [gate = std::move(gate), inner = std::move(inner)](curfew::context ctx, const http::request& request) {
        if (auto refused = gate(request)) return refuse(*std::move(refused));
        return inner(std::move(ctx), request);
      };
}

http::response error_response(http::status status, std::string_view message) {
  json::object body;
  set_text(body, "error", message);
  return http::json(status, json::serialize(body) + '\n');
}

}  // namespace curfew_dashboard
