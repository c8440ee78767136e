#include "base/switch_body.hpp"

#include <boost/json/parse.hpp>
#include <utility>

namespace curfew_dashboard {

std::expected<bool, refusal> read_switch(const http::request& request) {
  if (auto refused = require_json(request)) return std::unexpected(*std::move(refused));
  boost::system::error_code failed;
  const boost::json::value parsed = boost::json::parse(request.body(), failed);
  const boost::json::value* on =
      !failed && parsed.is_object() ? parsed.get_object().if_contains("on") : nullptr;
  if (on != nullptr && on->is_bool()) return on->get_bool();
  return std::unexpected(
      refusal{http::status::bad_request, "The body has to be {\"on\": true} or {\"on\": false}."});
}

}  // namespace curfew_dashboard
