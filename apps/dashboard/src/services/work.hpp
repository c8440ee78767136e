#pragma once

#include <boost/json/value.hpp>
#include <curfew/core/context.hpp>
#include <curfew/http/message.hpp>
#include <expected>
#include <functional>
#include <source_location>
#include <string>
#include <utility>

#include "base/access.hpp"
#include "base/panel_lines.hpp"

namespace curfew_dashboard {

/// Reports how far the work has come. Cheap, does not block; any thread.
using report_progress = std::function<void(progress)>;

/// What a service does for one request, on a thread of its own: looks at `ctx` often, and returns soon after
/// it has ended, with no matter what.
struct heavy_work {
  using function = std::function<std::expected<json::value, failure>(const curfew::context& ctx,
                                                                     const report_progress& tell)>;

  explicit heavy_work(function f, std::source_location made = std::source_location::current())
      : run(std::move(f)),
        where(made) {}

  function run;
  std::source_location where;  ///< Named where the work does not stop.
};

/// Reads a request: the work that it asks for, or why not.
using work_planner = std::function<std::expected<heavy_work, refusal>(const http::request& request)>;

/// The id of the front's request, as far as it looks like one; empty if there is none.
[[nodiscard]] std::string parent_of(const http::request& request);

/// What work returns that stopped because `ctx` ended.
[[nodiscard]] failure ended_failure(const curfew::context& ctx);

}  // namespace curfew_dashboard
