#pragma once

#include <curfew/core/error.hpp>
#include <curfew/http/message.hpp>
#include <curfew/http/status.hpp>
#include <expected>
#include <memory>
#include <string>
#include <utility>

namespace curfew::http {

/// Why a call has no answer to work with: an error, and the answer where there was one.
class call_error : public error {
 public:
  explicit call_error(error why) : error(std::move(why)) {}
  /// The error is the answer's status.
  explicit call_error(http::response answer, std::string doing = {})
      : error(answer.status(), std::move(doing)),
        answer_(std::make_shared<const http::response>(std::move(answer))) {}

  /// The answer whose status this is; null where there was none. It lives as long as this, or a copy.
  [[nodiscard]] const http::response* response() const noexcept { return answer_.get(); }

 private:
  std::shared_ptr<const http::response> answer_;
};

/// Takes an answer that is no success, of any status but 2xx, for an error:
///
///     auto reply = http::checked(http::client::shared().get(ctx, url), "fetching the report");
///     if (!reply && reply.error() == http::status::not_found) std::cout << "there is none\n";
///     if (!reply && reply.error().response() != nullptr) std::cerr << reply.error().response()->body();
///     if (!reply) return reply.error();  // "fetching the report: 503 Service Unavailable"
///     std::cout << reply->body();
///
/// The error's code is the status, of status_category(). 408, 425, 429, 502, 503 and 504 are transient(), so
/// `curfew::retry` tries again; `obeying_retry_after` has it wait as the server says.
/// \param doing  What the call was for, where its error is a status: an answer does not know its URL.
[[nodiscard]] std::expected<response, call_error> checked(result<response> reply, std::string doing = {});

}  // namespace curfew::http
