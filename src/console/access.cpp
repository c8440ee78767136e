#include "console/access.hpp"

#include <algorithm>
#include <utility>

#include "console/choice.hpp"
#include "console/json.hpp"

namespace curfew::inspect {

namespace {

/// The host of a Host field, without its port; the brackets of an IPv6 address stay. Empty for what is none.
std::string_view without_port(std::string_view field) {
  const auto bracket = field.starts_with('[') ? field.find(']') : 0;
  if (bracket == std::string_view::npos) return {};
  return field.substr(0, field.find(':', bracket));
}

bool is_address(std::string_view host) {
  if (host.starts_with('[')) {
    const auto inside = host.substr(1, host.size() - 2);
    return host.ends_with(']') && inside.contains(':') && std::ranges::all_of(inside, [](char c) {
             return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.';
           });
  }
  // A name's last label is never of digits alone (RFC 1123), so what ends in one is an address.
  const auto last = host.substr(host.rfind('.') + 1);
  return !last.empty() && std::ranges::all_of(last, [](char c) { return c >= '0' && c <= '9'; });
}

/// "http://host:80" and "https://host": the part behind the scheme.
std::string_view behind_scheme(std::string_view origin) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme)) return origin.substr(scheme.size());
  }
  return {};
}

constexpr refusal from_elsewhere{http::status::forbidden, "requests of pages from elsewhere are refused"};

}  // namespace

gate::gate(std::vector<std::string> names) : names_(std::move(names)) {
  for (auto& name : names_) name = lower(name);
}

bool gate::is_known(std::string_view host) const {
  return host == "localhost" || is_address(host) || std::ranges::find(names_, host) != names_.end();
}

std::optional<refusal> gate::operator()(const http::request& request) const {
  const auto& fields = request.fields();
  const auto host = lower(fields.find("Host").value_or(""));
  if (fields.count("Host") != 1 || !is_known(without_port(host))) {
    return refusal{static_cast<http::status>(421), "unknown host; console_options::allow_host allows it"};
  }
  if (const auto origin = fields.find("Origin")) {
    const auto from = lower(*origin);
    const auto page = behind_scheme(from);
    const bool allowed = std::ranges::find(names_, without_port(page)) != names_.end();
    if (fields.count("Origin") != 1 || page.empty() || (page != host && !allowed)) return from_elsewhere;
  }
  if (const auto site = fields.find("Sec-Fetch-Site"); site && *site != "same-origin" && *site != "none") {
    // Following a link to the page reads nothing for the other site.
    const bool opens_the_page =
        request.method() == "GET" && fields.find("Sec-Fetch-Mode").value_or("") == "navigate";
    if (!opens_the_page) return from_elsewhere;
  }
  return std::nullopt;
}

bool same_secret(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i])) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

http::response refuse(http::status status, std::string_view message) {
  std::string body;
  json_writer(body).begin_object().key("error").text(message).end_object();
  return http::json(status, body + '\n');
}

}  // namespace curfew::inspect
