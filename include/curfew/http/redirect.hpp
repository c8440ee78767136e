#pragma once

#include <curfew/http/status.hpp>
#include <functional>
#include <string>
#include <system_error>

namespace curfew::http {

/// A redirect that a client is about to follow.
struct redirect {
  http::status status = http::status::found;
  std::string from;           ///< The URL that answered with it; without userinfo, as `to`.
  std::string to;             ///< The next URL, absolute.
  std::string method;         ///< Of the next request.
  unsigned count = 1;         ///< Of this call: 1 for the first.
  bool cross_origin = false;  ///< This one, or one before it, has left the origin of the call's URL.
};

/// Sees each redirect before it is followed; with a code, such as errc::redirect_refused, it refuses it: the call fails with
/// that code. It is called in the thread of the call's loop (of a blocking call, the calling one), so by several calls at a
/// time, and should not block. What it throws counts as a refusal.
using redirect_hook = std::function<std::error_code(const redirect& next)>;

}  // namespace curfew::http
