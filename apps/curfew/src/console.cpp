#include "console.hpp"

#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/http/errc.hpp>
#include <utility>

#include "task.hpp"
#include "text.hpp"

namespace curfew_program {

namespace http = curfew::http;

namespace {

using namespace std::chrono_literals;

constexpr auto longest_wait = 10s;

http::client_options options_for(const source& at) {
  http::client_options made;
  made.unix_socket(at.unix_socket).max_body_size(console::most_bytes).max_redirects(0).send_deadline(false);
  return made;
}

std::string_view advice_for(const curfew::error& why) {
  if (why == http::errc::connection_refused) return "; does the program run, with a console at that address?";
  if (why == http::errc::too_large) return "; a filter or a smaller --limit makes it less";
  return {};
}

}  // namespace

console::console(source at) : at_(std::move(at)), client_(options_for(at_)) {}

failure console::failed(std::string_view what) const { return {0, at_.shown + ": " + printable(what)}; }

failure console::failed(const curfew::error& why) const {
  // What was being done, beside the URL, is of no use here; the detail of a Unix socket is.
  std::string text = at_.shown + ": ";
  if (why == curfew::errc::deadline_exceeded) {
    text += "no answer within 10 s";
  } else if (why == curfew::errc::canceled) {
    text += why.cause() ? printable(why.cause().message()) : "canceled";
  } else {
    const auto& doing = why.doing();
    const auto detail = doing.rfind(" (");
    text += printable(why.code().message());
    if (detail != std::string::npos) text += printable(doing.substr(detail));
    text += advice_for(why);
  }
  return {0, std::move(text)};
}

failure console::refused(unsigned status, std::string_view body) const {
  std::string text = read_refusal(body);
  if (text.empty()) {
    text = status == 404 ? "no console of curfew answers there, or an older one"
                         : "it is no answer of a console";
  }
  return {status, at_.shown + ": " + text + " (status " + std::to_string(status) + ')'};
}

asio::awaitable<answer<std::string>> console::async_send(curfew::context ctx, http::request what) {
  const auto limited = curfew::with_timeout(ctx, longest_wait);
  auto got = co_await client_.async_send(limited.ctx(), std::move(what));
  if (!got) co_return std::unexpected(failed(ctx.err() ? curfew::error::ended(ctx) : got.error()));
  const auto status = http::to_number(got->status());
  if (status != 200) co_return std::unexpected(refused(status, got->body()));
  co_return std::move(got->body());
}

asio::awaitable<answer<std::string>> console::async_get(curfew::context ctx, std::string path) {
  http::request what("GET", at_.url + path);
  co_return co_await async_send(std::move(ctx), std::move(what));
}

asio::awaitable<answer<std::string>> console::async_cancel(curfew::context ctx, std::string id,
                                                           std::string reason, std::string token) {
  http::request what("POST", at_.url + "/tasks/" + percent_encode(id) + "/cancel");
  what.set("Authorization", "Bearer " + token).body(std::move(reason), "text/plain; charset=utf-8");
  co_return co_await async_send(std::move(ctx), std::move(what));
}

asio::awaitable<answer<http::download>> console::async_follow(curfew::context ctx, unsigned limit) {
  http::request what("GET", at_.url + "/events?limit=" + std::to_string(limit));
  auto opened = co_await client_.async_open(ctx, std::move(what));
  if (!opened) co_return std::unexpected(failed(opened.error()));
  const auto status = http::to_number(opened->head().status());
  if (status != 200) co_return std::unexpected(refused(status, {}));
  co_return *std::move(opened);
}

}  // namespace curfew_program
