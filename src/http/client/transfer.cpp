#include "http/client/transfer.hpp"

#include <algorithm>
#include <array>
#include <curfew/http/errc.hpp>
#include <utility>

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

/// What is wrong with the request besides its URL; empty if nothing is.
std::string problem(const request& what) {
  if (!is_token(what.method())) return "the method is not a token";
  if (what.method() == "CONNECT") return "CONNECT is not for requests";
  if (what.method() == "HEAD" && (!what.body().empty() || what.streams()))
    return "a HEAD request has no body";
  const auto& streamed = request_access::streamed(what);
  if (streamed && !streamed->source && streamed->path.empty()) return "the body has no source, and no file";
  for (const auto& [name, value] : what.fields()) {
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

bool stays_with_origin(std::string_view name) noexcept {
  static constexpr std::array names = {"Authorization",       "Cookie",           "Cookie2",
                                       "Proxy-Authorization", "WWW-Authenticate", "Host"};
  return std::ranges::any_of(names, [&](std::string_view n) { return same_name(n, name); });
}

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
  call_target made{.what = std::move(what), .url = *std::move(url), .body = nullptr};
  if (made.what.streams()) {
    auto body = upload::open(made.what, ctx, runs_source);
    if (!body) return error(body.error().code(), made.doing(body.error().doing()));
    made.body = *std::move(body);
  }
  return made;
}

bool call_target::is_redirect(unsigned status) const noexcept {
  const bool leads_on = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
  return leads_on && (what.method() == "GET" || what.method() == "HEAD");
}

std::optional<error> call_target::follow(std::string_view location, unsigned limit) {
  constexpr auto phase = "reading the body";
  if (redirects == limit) return failed(errc::too_many_redirects, phase, std::to_string(limit) + " allowed");
  std::string why;
  std::optional<client_url> next = url.resolve(location, why);
  if (!next) return failed(errc::bad_response, phase, "a redirect to " + shown_url(location) + ": " + why);
  ++redirects;
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

bool call_target::sets_accept_encoding() const noexcept { return what.fields().contains("Accept-Encoding"); }

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
