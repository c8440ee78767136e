#include "http/client/transfer.hpp"

#include <algorithm>
#include <array>
#include <curfew/http/errc.hpp>
#include <utility>
#include <vector>

#include "http/message/message_access.hpp"
#include "http/message/syntax.hpp"

namespace curfew::http {

namespace {

constexpr const char* control = "it has a control character";

/// Foreign text for an error's line: without control characters.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, 200));
  std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, '?');
  return out;
}

/// What is wrong with fields that go with the request; empty if nothing is.
std::string problem(const fields& sent, const request& what) {
  const auto& streamed = request_access::streamed(what);
  for (const auto& [name, value] : sent) {
    if (!is_token(name)) return "the field name \"" + printable(name) + "\" is not a token";
    if (!is_field_value(value))
      return "the value of the field " + std::string(name) + " cannot be sent: " + control;
    if (same_name(name, "Transfer-Encoding") || same_name(name, "Upgrade")) {
      return "the field " + std::string(name) + " is not for the caller to set";
    }
    if (!same_name(name, "Content-Length")) continue;
    if (!streamed && value != std::to_string(what.body().size()))
      return "Content-Length is not the size of the body";
    if (streamed && !streamed->source)
      return "Content-Length is not for the caller to set: a file has a size";
    if (streamed && !parse_length(value)) return "Content-Length is not a number";
  }
  return {};
}

/// What is wrong with the request besides its URL; empty if nothing is.
std::string problem(const request& what) {
  if (!is_token(what.method())) return "the method is not a token";
  if (what.method() == "CONNECT") return "CONNECT is not for requests";
  if (what.method() == "HEAD" && (!what.body().empty() || what.streams()))
    return "a HEAD request has no body";
  const auto& streamed = request_access::streamed(what);
  if (streamed && !streamed->source && streamed->path.empty()) return "the body has no source, and no file";
  return problem(what.fields(), what);
}

}  // namespace

detail::open_task show_call(const context& ctx, const call_target& target) {
  static constexpr task_kind of_client{"http call"};
  if (detail::task_listener() == nullptr) [[likely]]
    return {};
  const std::string url = shown_url(target.what.target());
  std::string name = printable(target.what.method());
  name += ' ';
  name += std::string_view(url).substr(0, url.find('?'));
  return detail::open_task(ctx, of_client, name, ctx.origin());
}

namespace {

/// Fields that are meant for the first server alone, whatever sets them.
bool stays_with_origin(std::string_view name) noexcept {
  static constexpr std::array names = {"Authorization",       "Cookie",           "Cookie2",
                                       "Proxy-Authorization", "WWW-Authenticate", "Host"};
  return std::ranges::any_of(names, [&](std::string_view n) { return same_name(n, name); });
}

/// Fields that say something about a body, which a redirect to GET has none of (RFC 9110, section 15.4).
bool describes_body(std::string_view name) noexcept {
  constexpr std::string_view content = "Content-";
  return same_name(name.substr(0, content.size()), content) || same_name(name, "Digest") ||
         same_name(name, "Last-Modified") || same_name(name, "Expect");
}

}  // namespace

result<call_target> call_target::make(const context& ctx, request what,
                                      const boost::asio::any_io_executor& runs_source) {
  std::string why;
  std::optional<client_url> url = client_url::parse(what.target(), why);
  if (!url)
    return error(errc::bad_url, printable(what.method()) + ' ' + shown_url(what.target()) + " : " + why);
  if (why = problem(what); !why.empty()) {
    return error(std::make_error_code(std::errc::invalid_argument),
                 printable(what.method()) + ' ' + url->text + " : " + why);
  }
  if (ctx.err()) return error::ended(ctx, what.method() + ' ' + url->text + " : before it was sent");
  call_target made{.what = std::move(what), .url = *std::move(url), .body = nullptr, .left = nullptr};
  if (made.what.streams()) {
    auto body = upload::open(made.what, ctx, runs_source);
    if (!body) return error(body.error().code(), made.doing(body.error().doing()));
    made.body = *std::move(body);
  }
  return made;
}

bool call_target::is_redirect(status code) noexcept {
  return code == status::moved_permanently || code == status::found || code == status::see_other ||
         code == status::temporary_redirect || code == status::permanent_redirect;
}

bool call_target::leaves_out(std::string_view name) const noexcept {
  if (!cross_origin) return false;
  return stays_with_origin(name) ||
         std::ranges::any_of(request_access::secrets(what),
                             [&](const std::string& secret) { return same_name(secret, name); });
}

fields call_target::fields_to_send() const {
  fields sent;
  for (const auto& [name, value] : what.fields()) {
    if (!leaves_out(name)) sent.add(name, value);
  }
  return sent;
}

std::string call_target::problem_with(const fields& others) const {
  if (others.find("Content-Length") != what.fields().find("Content-Length"))
    return "Content-Length is not for a hook to set";
  return problem(others, what);
}

std::optional<error> call_target::follow(std::string_view location, status code,
                                         const client_options& options) {
  constexpr auto phase = "reading the body";
  const unsigned limit = options.max_redirects();
  if (redirects == limit) return failed(errc::too_many_redirects, phase, std::to_string(limit) + " allowed");
  std::string why;
  std::optional<client_url> next = url.resolve(location, why);
  if (!next) return failed(errc::bad_response, phase, "a redirect to " + shown_url(location) + ": " + why);
  if (url.tls && !next->tls && !options.insecure_redirects()) {
    return failed(errc::redirect_refused, "following a redirect",
                  "to " + next->text + ": it leads from https:// to http://");
  }
  ++redirects;
  const bool posts = what.method() == "POST";
  const bool reads = what.method() == "GET" || what.method() == "HEAD";
  if ((code == status::see_other && !reads) ||
      (posts && (code == status::moved_permanently || code == status::found))) {
    request_access::become(what, "GET");
    if (body) body->stop();
    left = std::move(body);
    std::vector<std::string> gone;
    for (const auto& [name, value] : what.fields()) {
      if (describes_body(name)) gone.emplace_back(name);
    }
    for (const std::string& each : gone) what.fields().erase(each);
  }
  // Once away from the first server, credentials do not come back: the way led through others.
  if (next->origin != url.origin) cross_origin = true;
  next->has_user = url.has_user;
  next->user = std::move(url.user);
  next->password = std::move(url.password);
  url = *std::move(next);
  return std::nullopt;
}

bool call_target::is_idempotent() const noexcept {
  static constexpr std::array names = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
  return std::ranges::find(names, what.method()) != names.end();
}

std::string call_target::doing(std::string_view phase) const {
  std::string line;
  line.reserve(what.method().size() + url.text.size() + phase.size() + 4);
  return line.append(what.method()).append(1, ' ').append(url.text).append(" : ").append(phase);
}

error call_target::failed(std::error_code code, std::string_view phase, std::string_view detail) const {
  std::string line = doing(phase);
  if (!detail.empty()) line += " (" + printable(detail) + ')';
  return error(code, std::move(line));
}

}  // namespace curfew::http
