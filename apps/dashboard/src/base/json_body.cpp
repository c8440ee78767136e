#include "base/json_body.hpp"

#include <boost/json/parse.hpp>

namespace curfew_dashboard {

std::optional<bool> parse_on(std::string_view body) {
  boost::system::error_code failed;
  const boost::json::value parsed = boost::json::parse(body, failed);
  if (failed || !parsed.is_object()) return std::nullopt;
  const boost::json::value* on = parsed.get_object().if_contains("on");
  if (on == nullptr || !on->is_bool()) return std::nullopt;
  return on->get_bool();
}

}  // namespace curfew_dashboard
