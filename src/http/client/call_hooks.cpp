// How a call asks the hooks of its user. They run in the loop's thread without a lock: what they do may end the call's context.
// Until one has answered nothing but an end moves the call; events of its socket are then made up for.

#include <curfew/http/call_hooks.hpp>

#include <curfew/http/errc.hpp>
#include <exception>
#include <utility>

#include "http/client/client_call.hpp"
#include "http/message/message_access.hpp"

namespace curfew::http {

void client_call::ask(question about) {
  question_ = std::move(about);
  asks_ = true;
  loop_->later(shared_from_this());
}

void client_call::ask_hook(std::unique_lock<std::mutex>& lock) {
  question about = std::exchange(question_, {});
  if (phase_ == phase::over) return;
  const client_options& hooks = client_->options;
  const std::string& method = target_.what.method();  // neither changes while the call asks
  const std::string& url = target_.url.text;
  lock.unlock();
  verdict said;
  std::error_code if_thrown = errc::address_refused;
  try {
    if (auto* const dials = std::get_if<dial_question>(&about)) {
      auto allowed = std::make_shared<resolver::addresses>();
      for (const auto& each : *dials->to) {
        const std::error_code why = hooks.on_dial()(boost::asio::ip::tcp::endpoint(each, dials->port));
        if (!why) {
          allowed->push_back(each);
          continue;
        }
        said = {.refused = why, .detail = each.to_string()};
      }
      if (!allowed->empty()) said = {};
      dials->to = std::move(allowed);
    } else if (auto* const follows = std::get_if<http::redirect>(&about)) {
      if_thrown = errc::redirect_refused;
      said = {.refused = hooks.on_redirect()(*follows), .detail = "from " + follows->from};
    } else if (auto* const sends = std::get_if<send_question>(&about)) {
      if_thrown = errc::request_refused;
      outgoing_request outgoing{
          .ctx = ctx_, .method = method, .url = url, .fields = sends->fields, .body = target_.what.body()};
      said.refused = hooks.on_request()(outgoing);
    } else if (auto* const has_come = std::get_if<head_question>(&about)) {
      if_thrown = errc::response_refused;
      said.refused = hooks.on_response()({.ctx = ctx_, .method = method, .url = url, .head = has_come->head});
    }
  } catch (const std::exception& e) {
    said = {.refused = if_thrown, .detail = e.what()};
  }
  lock.lock();
  asks_ = false;
  if (phase_ != phase::over) std::visit([&](auto& each) { go_on(each, said); }, about);
}

void client_call::go_on(dial_question& about, const verdict& said) {
  if (said.refused) return fail(said.refused, said.detail);
  dial(std::move(about.to));
}

void client_call::go_on(http::redirect& /*about*/, const verdict& said) {
  if (said.refused) return finish(target_.failed(said.refused, "following a redirect", said.detail));
  hop();
}

void client_call::go_on(send_question& about, const verdict& said) {
  if (said.refused) return fail(said.refused, said.detail);
  if (const std::string why = target_.problem_with(about.fields); !why.empty())
    return fail(std::make_error_code(std::errc::invalid_argument), "on_request: " + why);
  hooked_fields_ = std::move(about.fields);
  // It may have been closed meanwhile, and what has come then answers nothing.
  if (kept_ && !exchange_->lease.connection->is_quiet()) {
    let_go(false);
    return hop();
  }
  const unsigned asked = exchange_number_;
  send_request();
  if (goes_on(asked) && !asks_) pump_in(true);
}

void client_call::go_on(head_question& /*about*/, const verdict& said) {
  if (said.refused) return fail(said.refused, said.detail);
  const unsigned answered = exchange_number_;
  if (streams() && !following_) {
    open_download();
  } else {
    if (take({}) == progress::over) return;
    pump_in(true);
  }
  if (goes_on(answered)) pump_out();
}

}  // namespace curfew::http
