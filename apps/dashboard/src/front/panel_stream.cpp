#include "front/panel_stream.hpp"

#include <boost/json/parse.hpp>
#include <curfew/http/status.hpp>
#include <curfew/io/offload.hpp>
#include <optional>
#include <source_location>
#include <utility>

#include "base/text.hpp"

namespace curfew_dashboard {

panel_stream::panel_stream(const curfew::context& ctx, request_log& log, const request_facts& facts,
                           http::client& client, panel whom, std::string query,
                           curfew::clock::duration budget)
    : client_(client),
      panel_(std::move(whom)),
      query_(std::move(query)),
      scope_(curfew::with_timeout(ctx, budget)),
      describe_(scope_, panel_, budget),
      entry_(std::in_place, log, scope_, facts, std::source_location::current()) {}

asio::awaitable<void> panel_stream::async_run(curfew::context ctx, http::body_writer out) {
  // The front's own line comes first, so the head arrives at once, however long the other side takes.
  std::string first = progress_line({std::nullopt, "Asking " + panel_.subject(), {}});
  auto written = co_await out.async_write(ctx, std::move(first));
  if (!written) co_return;
  const last_line last = co_await ask(ctx, out);
  std::string line = last ? *last : error_line(last.error());
  auto done = co_await out.async_write(ctx, std::move(line));
  if (!done) co_return;
  if (last) entry_->succeeded();
  entry_.reset();
}

asio::awaitable<std::expected<http::request, failure>> panel_stream::make_request() {
  std::string url = panel_.url;
  if (panel_.service) {
    auto where = co_await panel_.service->async_where(scope_.ctx());
    if (!where) co_return std::unexpected(describe_.unless_late({"unavailable", std::move(where).error()}));
    url = *where + "/report" + query_;
  }
  http::request made("GET", url);
  if (panel_.service) {
    made.set("Request-Id", id());
    made.set("Authorization", "Bearer " + panel_.service->token());
  }
  co_return made;
}

asio::awaitable<panel_stream::last_line> panel_stream::ask(curfew::context ctx, http::body_writer out) {
  auto request = co_await make_request();
  if (!request) co_return std::unexpected(std::move(request).error());
  auto opened = co_await client_.async_open(scope_.ctx(), *std::move(request));
  if (!opened) co_return std::unexpected(describe_.from(opened.error()));
  http::download from = *std::move(opened);
  if (panel_.streaming() && from.head().status() == http::status::ok) {
    co_return co_await pass_lines(std::move(ctx), out, std::move(from));
  }
  auto body = co_await whole_body(from);
  if (!body) co_return std::unexpected(std::move(body).error());
  if (from.head().status() != http::status::ok) co_return std::unexpected(describe_.from(from.head(), *body));
  // On the pool: a megabyte of JSON takes tens of milliseconds, and the loop serves others too.
  auto parse = [self = shared_from_this(), head = from.head(),
                text = *std::move(body)](const curfew::context&) { return self->whole_result(head, text); };
  auto parsed = co_await curfew::async_offload(scope_.ctx(), std::move(parse));
  if (!parsed) co_return std::unexpected(describe_.from(parsed.error()));
  co_return *std::move(parsed);
}

asio::awaitable<panel_stream::last_line> panel_stream::pass_lines(curfew::context ctx, http::body_writer out,
                                                                  http::download from) {
  line_splitter lines;
  std::size_t total = 0;
  for (;;) {
    auto piece = co_await from.async_read(scope_.ctx());
    if (!piece) co_return std::unexpected(describe_.from(piece.error()));
    if (!*piece) co_return std::unexpected(describe_.truncated());
    total += (*piece)->size();
    if (total > panel_.limit()) co_return std::unexpected(describe_.too_large());
    lines.feed(**piece);
    while (auto line = lines.next()) {
      const auto kind = classify_line(*line);
      if (!kind) co_return std::unexpected(describe_.garbage());
      line->push_back('\n');
      if (*kind != line_kind::progress) co_return *std::move(line);
      auto written = co_await out.async_write(ctx, *std::move(line));
      if (!written) co_return std::unexpected(failure{"canceled", "The visitor has gone."});
    }
  }
}

asio::awaitable<std::expected<std::string, failure>> panel_stream::whole_body(http::download& from) {
  std::string body;
  for (;;) {
    auto piece = co_await from.async_read(scope_.ctx());
    if (!piece) co_return std::unexpected(describe_.from(piece.error()));
    if (!*piece) co_return body;
    if (body.size() + (*piece)->size() > panel_.limit()) co_return std::unexpected(describe_.too_large());
    body += **piece;
  }
}

panel_stream::last_line panel_stream::whole_result(const http::response& head,
                                                   const std::string& body) const {
  boost::system::error_code failed;
  json::value parsed = json::parse(body, failed);
  if (panel_.service) {
    if (failed || !parsed.is_object()) return std::unexpected(describe_.garbage());
    return result_line(std::move(parsed));
  }
  json::object data;
  data["url"] = to_utf8(panel_.url).text;
  data["status"] = http::to_number(head.status());
  const auto type = head.fields().find("Content-Type");
  data["content_type"] = type ? to_utf8(*type).text : "";
  data["bytes"] = body.size();
  if (!failed) {
    data["json"] = std::move(parsed);
  } else {
    set_text(data, "text", body);
  }
  return result_line(std::move(data));
}

}  // namespace curfew_dashboard
