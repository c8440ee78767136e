#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/message.hpp>
#include <memory>
#include <optional>
#include <string>

#include "base/request_log.hpp"
#include "front/panel.hpp"
#include "front/upstream_failure.hpp"

namespace curfew_dashboard {

namespace http = curfew::http;

/// One request for a panel: asks the service or the source within the budget, and passes the answer on as the
/// lines of the panel's stream. Whatever the other side does, it costs this panel alone.
/// Lifetime: `client` outlives it.
class panel_stream : public std::enable_shared_from_this<panel_stream> {
 public:
  /// \param ctx    That of the visitor's request. The budget begins now.
  /// \param query  For the service: "?q=vim", or empty.
  panel_stream(const curfew::context& ctx, request_log& log, const request_facts& facts, http::client& client,
               panel whom, std::string query, curfew::clock::duration budget);

  /// In the view of requests; until the stream is written.
  [[nodiscard]] std::string id() const { return entry_->id(); }

  /// Writes the whole stream; once. `ctx` is the visitor's: it says how it ended, also when the budget is used up.
  asio::awaitable<void> async_run(curfew::context ctx, http::body_writer out);

 private:
  /// What to write at the end, or why there is nothing; the lines before it are written on the way.
  using last_line = std::expected<std::string, failure>;

  asio::awaitable<last_line> ask(curfew::context ctx, http::body_writer out);
  asio::awaitable<last_line> pass_lines(curfew::context ctx, http::body_writer out, http::download from);
  asio::awaitable<std::expected<std::string, failure>> whole_body(http::download& from);
  [[nodiscard]] last_line whole_result(const http::response& head, const std::string& body) const;
  asio::awaitable<std::expected<http::request, failure>> make_request();

  http::client& client_;
  const panel panel_;
  const std::string query_;
  curfew::cancel_scope scope_;  // the budget
  const upstream_failure describe_;
  // After scope_, so destroyed before it: the scope's end must not count as the visitor's.
  std::optional<request_log::entry> entry_;
};

}  // namespace curfew_dashboard
