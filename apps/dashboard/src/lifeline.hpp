#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/context.hpp>
#include <string>

#include "base/file_descriptor.hpp"

namespace curfew_dashboard {

/// The pipe between the dashboard and a service that it started. The dashboard writes the token into it, one
/// line, and then nothing: when the dashboard is gone, however it ended, the service reads the end of the
/// file.
///
/// Environment variable with the number of the service's descriptor; not there in a service that was started
/// by hand.
inline constexpr const char* lifeline_variable = "CURFEW_DASHBOARD_LIFELINE";

/// The service's end.
class lifeline {
 public:
  /// From the environment, which is cleaned of it. Reads the token.
  lifeline();

  /// Was the service started by a dashboard?
  explicit operator bool() const noexcept { return static_cast<bool>(pipe_); }
  /// Empty if not.
  [[nodiscard]] const std::string& token() const noexcept { return token_; }

  /// Cancels `whom` when the dashboard is gone. Completes then, or when ctx ends.
  boost::asio::awaitable<void> async_watch(curfew::context ctx, curfew::canceler whom);

 private:
  file_descriptor pipe_;
  std::string token_;
};

/// A new token: 256 random bits in hexadecimal digits. Throws: std::system_error.
[[nodiscard]] std::string make_token();

}  // namespace curfew_dashboard
