#pragma once

#include <curfew/core/context.hpp>
#include <curfew/http/fields.hpp>
#include <curfew/http/message.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>

namespace curfew::http {

/// A request that a client is about to send; valid during the hook.
struct outgoing_request {
  const context& ctx;         ///< Of the call.
  const std::string& method;  ///< A redirect may have changed it.
  const std::string& url;     ///< Absolute, without userinfo.
  /// To be sent beside those that the client adds. What is set here is for this request alone: the next one, of a redirect or
  /// a repeat, begins with the caller's again, without those that stay with their origin.
  http::fields& fields;
  std::string_view body;  ///< Empty for one that streams.
};

/// Sees each request before it is sent, those of redirects and repeats too, and may set its fields: for tokens, signatures,
/// ids. With a code it refuses the request: the call fails with that code. It is called in the thread of the call's loop
/// (of a blocking call, the calling one), so by several calls at a time, and should not block. What it throws counts as a
/// refusal, with errc::request_refused.
using request_hook = std::function<std::error_code(outgoing_request& next)>;

/// An answer whose header has come; valid during the hook.
struct incoming_response {
  const context& ctx;         ///< Of the call.
  const std::string& method;  ///< Of the request.
  const std::string& url;     ///< That has answered; absolute, without userinfo.
  const response& head;       ///< Status, fields, and timings up to here; the body is empty.
};

/// Sees the header of each answer, those of redirects and repeats too, before its body is read: for metrics and logs, or to
/// keep away from a body. With a code it refuses the answer: the call fails with that code, and the connection is closed.
/// Called as a request_hook is; what it throws counts as errc::response_refused.
using response_hook = std::function<std::error_code(const incoming_response& answer)>;

}  // namespace curfew::http
