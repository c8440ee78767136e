#include "front/upstream_failure.hpp"

#include <boost/json/parse.hpp>
#include <chrono>
#include <curfew/http/errc.hpp>
#include <utility>

#include "base/text.hpp"

namespace curfew_dashboard {

namespace http = curfew::http;

namespace {

/// A service ends its request at the same deadline, and may be a moment earlier.
constexpr std::chrono::milliseconds a_moment{20};

std::string capitalized(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

/// `{"error": "…"}` of a body; else empty.
std::string error_text(const std::string& body) {
  boost::system::error_code failed;
  const json::value parsed = json::parse(body, failed);
  if (failed || !parsed.is_object()) return {};
  const json::value* text = parsed.get_object().if_contains("error");
  return text != nullptr && text->is_string() ? std::string(text->get_string()) : std::string();
}

}  // namespace

upstream_failure::upstream_failure(curfew::context ctx, const panel& whose, curfew::clock::duration budget)
    : ctx_(std::move(ctx)),
      is_service_(whose.service != nullptr),
      limit_(whose.limit()),
      subject_(whose.subject()),
      capital_(is_service_ ? capitalized(subject_) : subject_),
      budget_(budget) {}

failure upstream_failure::unless_late(failure otherwise) const {
  const auto left = ctx_.remaining();
  if (ctx_.err() != curfew::errc::deadline_exceeded && (ctx_.err() || !left || *left > a_moment))
    return otherwise;
  return {"deadline_exceeded",
          "The budget of " + human_duration(budget_) + " is used up; " + subject_ + " was told to stop."};
}

failure upstream_failure::from(const curfew::error& e) const {
  const std::string reason = to_utf8(e.message()).text;
  const auto sentence = [&](const char* what) { return capital_ + ' ' + what + " (" + reason + ")."; };
  failure why{"unreachable", sentence("cannot be reached")};
  if (e == curfew::errc::canceled) why = {"canceled", "The request was canceled."};
  if (e == http::errc::connection_refused) why.message = sentence("cannot be reached: nobody listens there");
  if (e == http::errc::name_not_found) why.message = sentence("cannot be reached: there is no such host");
  if (e == http::errc::truncated_body) why = truncated();
  if (e == http::errc::bad_response)
    why = {"bad_response", sentence("answered with something that is not HTTP")};
  if (e == http::errc::too_large) why = too_large();
  return unless_late(std::move(why));
}

failure upstream_failure::from(const http::response& head, const std::string& body) const {
  const std::string text = is_service_ ? error_text(body) : std::string();
  const bool cannot = head.status() == http::status::service_unavailable;
  std::string status = std::to_string(http::to_number(head.status()));
  if (const auto name = http::reason(head.status()); !name.empty()) status += ' ' + std::string(name);
  std::string message = capital_ + " answered with " + status;
  if (const auto to = head.fields().find("Location")) {
    message += ", a redirect to " + to_utf8(*to).text + "; redirects are not followed";
  }
  return unless_late({cannot ? "unavailable" : "refused", !text.empty() ? text : message + '.'});
}

failure upstream_failure::too_large() const {
  return {"too_large", capital_ + " sent more than " + human_bytes(limit_) + "; the rest was not read."};
}

failure upstream_failure::garbage() const {
  return unless_late({"bad_response", capital_ + " sent something that makes no sense here."});
}

failure upstream_failure::truncated() const {
  return unless_late({"truncated", capital_ + " broke off in the middle of its answer."});
}

}  // namespace curfew_dashboard
