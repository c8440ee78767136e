#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/http/message.hpp>
#include <functional>
#include <string>

#include "base/change_hub.hpp"

namespace curfew_dashboard {

/// What a viewer gets.
struct live_view {
  std::string json;
  bool moving = false;  ///< It changes by itself: ages, CPU times.
};

/// Writes `look()` as server-sent events of that name: at once, on each change, at most every 100 ms, and
/// each second while it moves. Ends when ctx ends or the viewer has gone.
/// Lifetime: `hub` outlives it.
boost::asio::awaitable<void> stream_live(curfew::context ctx, curfew::http::body_writer out, change_hub& hub,
                                         std::string name, std::function<live_view()> look);

}  // namespace curfew_dashboard
