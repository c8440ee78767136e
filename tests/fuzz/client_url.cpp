// The client's URLs from any text, and what a redirect makes of them: what is sent of one is printable and has no
// userinfo, in its normal form it stays what it is, and Boost.URL understands the same where it understands it at all.
#include "http/client/client_url.hpp"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"

namespace {

using curfew::fuzz::expect;
using curfew::http::client_url;
namespace urls = boost::urls;

bool same(const client_url& a, const client_url& b) {
  return a.text == b.text && a.origin == b.origin && a.host == b.host && a.port == b.port &&
         a.authority == b.authority && a.target == b.target && a.tls == b.tls && a.loopback == b.loopback;
}

bool is_visible(std::string_view text) {
  for (const char c : text) {
    if (c <= ' ' || c >= 0x7f) return false;
  }
  return !text.empty();
}

/// Does a name look like an address? One is made of it.
bool is_number(std::string_view host) {
  const std::size_t last = host.size() < 2 ? 0 : host.rfind('.', host.size() - 2) + 1;
  return last < host.size() && host[last] >= '0' && host[last] <= '9';
}

/// May it be put on the wire, and is it one thing to all of its readers?
void expect_sound(const client_url& u) {
  expect(is_visible(u.text) && u.text.find('#') == std::string::npos, "the text is printable");
  expect(is_visible(u.target) && u.target.front() == '/' && u.target.find('#') == std::string::npos,
         "the target is a path");
  expect(is_visible(u.authority) && u.authority.find_first_of("@/?#\\") == std::string::npos,
         "the authority is a host and a port");
  expect(!u.host.empty(), "there is a host");
  const std::string scheme = u.tls ? "https://" : "http://";
  const std::size_t bracket = u.authority.find(']');  // behind a zone, which the authority does not have
  expect(curfew::fuzz::lower(u.text).starts_with(scheme + u.authority.substr(0, bracket)),
         "the text has the authority");
  expect(u.origin.starts_with(scheme) && u.origin.ends_with(':' + std::to_string(u.port)),
         "the origin has the port");
  std::string why;
  const auto again = client_url::parse(u.text, why);
  expect(again.has_value(), "its own text is a URL");
  if (is_number(u.host) && again->host != u.host) return;
  expect(same(*again, u) && !again->has_user, "its own text means the same");
  // A scheme in capital letters takes the general way.
  const auto general = client_url::parse((u.tls ? "HTTPS" : "HTTP") + u.text.substr(u.text.find(':')), why);
  expect(general && same(*general, u), "the short way to a plain URL makes the same of it");
}

/// RFC 3986, section 5.2.4.
std::string without_dots(std::string_view in) {
  std::string out;
  while (!in.empty()) {
    if (in.starts_with("/./") || in == "/.") {
      in = in.size() > 2 ? in.substr(2) : "/";
    } else if (in.starts_with("/../") || in == "/..") {
      in = in.size() > 3 ? in.substr(3) : "/";
      out.erase(out.empty() ? 0 : out.rfind('/'));
    } else {
      const std::size_t end = in.find('/', 1);
      out += in.substr(0, end);
      in.remove_prefix(std::min(end, in.size()));
    }
  }
  return out.empty() ? "/" : out;
}

/// What is sent, as Boost.URL understands it.
std::string sent(const urls::url_view& u) {
  const auto text = [](auto part) { return std::string(part.data(), part.size()); };
  const bool tls = curfew::fuzz::lower(text(u.scheme())) == "https";
  std::string host = curfew::fuzz::lower(text(u.encoded_host()));
  if (u.host_type() == urls::host_type::ipv6) host = u.host_ipv6_address().to_string();
  const unsigned port = u.has_port() && !u.port().empty() ? u.port_number() : tls ? 443 : 80;
  std::string made = (tls ? "https " : "http ") + host + ' ' + std::to_string(port) + ' ';
  made += without_dots(text(u.encoded_path()));
  if (!u.encoded_query().empty()) made += '?' + text(u.encoded_query());
  return made;
}

/// A name whose last label is a number is an address to us, in whatever notation.
bool is_address_for_us_alone(const urls::url_view& u) {
  if (u.host_type() != urls::host_type::name) return u.host_type() == urls::host_type::ipvfuture;
  std::string host(u.encoded_host().data(), u.encoded_host().size());
  return host.find('%') != std::string::npos || is_number(host);
}

void compare_with_boost(std::string_view text, const client_url& u) {
  const auto parsed = urls::parse_uri(text);
  if (!parsed || !parsed->has_authority() || is_address_for_us_alone(*parsed)) return;
  // Boost 1.81 takes what follows four numbers of a name, or an address in brackets, for the path.
  if (!parsed->encoded_path().empty() && !parsed->encoded_path().starts_with('/')) return;
  const auto again = urls::parse_uri(u.text);
  expect(again.has_value(), "Boost.URL reads the text");
  const std::string theirs = sent(*parsed);
  const std::string ours = sent(*again);
  if (theirs != ours) std::fprintf(stderr, "%s: %s, not %s\n", u.text.c_str(), ours.c_str(), theirs.c_str());
  expect(ours == theirs, "Boost.URL understands the same");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view whole(reinterpret_cast<const char*>(data), size);
  if (whole.size() > 2000) return 0;
  const std::size_t line = whole.find('\n');
  const std::string_view text = whole.substr(0, line);
  std::string why;
  const auto shown = curfew::http::shown_url(text);
  const auto url = client_url::parse(text, why);
  expect(url || !why.empty(), "a refusal has a reason");
  if (!url) return 0;
  expect_sound(*url);
  compare_with_boost(text, *url);
  if (line == std::string_view::npos) return 0;
  const std::string_view location = whole.substr(line + 1);
  if (const auto to = url->resolve(location, why)) expect_sound(*to);
  return 0;
}
