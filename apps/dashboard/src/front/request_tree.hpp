#pragma once

#include <boost/json/object.hpp>
#include <expected>
#include <string>
#include <vector>

#include "base/text.hpp"

namespace curfew_dashboard {

/// What is known of one service.
struct service_view {
  std::string service;
  std::expected<json::object, std::string> snapshot;  ///< Or why there is none.
};

/// The snapshots of the front and of its services in one: the tree of requests, and the totals. The shape is
/// in API.md. The services' snapshots are not trusted: what does not have the right shape is left out.
[[nodiscard]] json::object merge_requests(json::object front, const std::vector<service_view>& services);

}  // namespace curfew_dashboard
