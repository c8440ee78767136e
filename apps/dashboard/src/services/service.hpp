#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/http/message.hpp>
#include <curfew/http/router.hpp>
#include <memory>
#include <string>

#include "base/access.hpp"
#include "base/live_feed.hpp"
#include "base/request_log.hpp"
#include "services/ignore_switch.hpp"
#include "services/work.hpp"

namespace curfew_dashboard {

/// What the three services have in common: the report, done by work on a thread of its own; the view of the
/// requests; the switch. Their interface is in API.md.
/// Lifetime: outlives the server that has its routes.
class service {
 public:
  enum class answer { whole, streamed };  ///< As one JSON document, or as the lines of a panel.

  /// \param log    Of this process; outlives the service.
  /// \param token  Asked for in every request; empty: none.
  service(std::string name, answer kind, work_planner plan, request_log& log, std::string token);

  [[nodiscard]] http::router routes();

  /// Ends all work, also that which ignores its context: for the end of the process.
  void stop() { ignore_.set(false); }

 private:
  boost::asio::awaitable<http::response> report(curfew::context ctx, const http::request& request);
  boost::asio::awaitable<http::response> answer_whole(curfew::context ctx, request_facts facts,
                                                      heavy_work work);
  boost::asio::awaitable<void> answer_streamed(curfew::context ctx, http::body_writer out,
                                               request_facts facts, heavy_work work);
  boost::asio::awaitable<http::response> change_switch(curfew::context ctx, const http::request& request);
  boost::asio::awaitable<http::response> list(curfew::context ctx, const http::request& request);
  boost::asio::awaitable<http::response> events(curfew::context ctx, const http::request& request);
  [[nodiscard]] live_view look(std::size_t recent) const;

  std::string name_;
  answer kind_;
  work_planner plan_;
  service_access access_;
  request_log& log_;
  ignore_switch ignore_;
  live_feed feed_;
};

}  // namespace curfew_dashboard
