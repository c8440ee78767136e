#include "http/client/client_call.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <curfew/http/deadline.hpp>
#include <curfew/http/errc.hpp>
#include <span>
#include <utility>

#include "http/client/body_stream.hpp"
#include "http/client/request_head.hpp"
#include "http/message/message_access.hpp"

namespace curfew::http {

namespace {

constexpr std::size_t copied_body = 16 * 1024;  // a smaller body is sent from the same buffer as the head
constexpr std::size_t redirect_body_limit = 64 * 1024;  // more of it is not worth the connection
constexpr std::size_t decoded_at_once = 64 * 1024;
constexpr std::size_t sent_in_turn = 1024 * 1024;  // of a body that streams; then others have theirs
constexpr std::chrono::seconds longest_wait_for_continue{1};

void complete(const client_call::completion& done, error why, bool here) {
  if (const auto* whole = std::get_if<response_completion>(&done)) {
    (*whole)->complete(std::move(why), here);
  } else {
    std::get<download_completion>(done)->complete(std::move(why), here);
  }
}

/// Tells a handler of a failure before there was a call.
class refusal final : public job {
 public:
  refusal(std::shared_ptr<loop> in, client_call::completion done, error why)
      : in_(std::move(in)),
        done_(std::move(done)),
        why_(std::move(why)) {}
  void run() override {
    in_->release();
    complete(done_, std::move(why_), !in_->is_shared());
  }

 private:
  std::shared_ptr<loop> in_;
  client_call::completion done_;
  error why_;
};

void refuse(const std::shared_ptr<loop>& in, client_call::completion done, error why) {
  in->hold();
  in->later(std::make_shared<refusal>(in, std::move(done), std::move(why)));
}

}  // namespace

// The life of a call.

void client_call::start(std::shared_ptr<client_state> client, std::shared_ptr<loop> in, context ctx,
                        request what, const boost::asio::any_io_executor& runs_source, completion done) {
  auto target = call_target::make(ctx, std::move(what), runs_source);
  if (!target) return refuse(in, std::move(done), std::move(target.error()));
  std::optional<cancel_scope> limit;
  if (const auto d = client->options.default_timeout(); d && !ctx.deadline())
    limit.emplace(with_timeout(ctx, *d, "the client's default timeout"));
  const auto made = std::make_shared<client_call>(std::move(client), std::move(in), std::move(ctx),
                                                  std::move(limit), *std::move(target), std::move(done));
  std::visit([&](const auto& each) { each->keep(made); }, made->done_);
  if (made->target_.body) made->target_.body->used_by(made);
  made->loop_->hold();
  detail::about_to_wait("call", detail::id_of(made->shown_));
  made->watch_.emplace(made->ctx_, on_end{made});  // may run at once, here or in another thread
  const std::lock_guard guard(made->mutex_);
  made->begin();
}

client_call::client_call(std::shared_ptr<client_state> client, std::shared_ptr<loop> in, context ctx,
                         std::optional<cancel_scope> limit, call_target target, completion done)
    : client_(std::move(client)),
      loop_(std::move(in)),
      asked_with_(std::move(ctx)),
      limit_(std::move(limit)),
      ctx_(limit_ ? limit_->ctx() : asked_with_),
      done_(std::move(done)),
      target_(std::move(target)),
      has_upload_(target_.body != nullptr),
      shown_(show_call(asked_with_, target_)) {}

client_call::~client_call() {
  for (const auto& each : {target_.body, target_.left}) {
    if (!each) continue;
    each->stop();
    each->settle();
  }
  watch_.reset();
  lookup_.drop();
  alarm_.reset();
  let_go(false);
  client_->delist(*this);
  if (!delivered_) loop_->release();
}

void client_call::begin() {
  begun_ = true;
  if (phase_ == phase::over) {
    loop_->later(shared_from_this());
  } else if (client_->enlist(*this)) {
    hop();
  } else {
    fail(curfew::errc::canceled, "the client was destroyed");
  }
}

void client_call::on_end::operator()() const noexcept {
  const auto call = of.lock();
  if (!call) return;
  const std::lock_guard guard(call->mutex_);
  if (call->phase_ != phase::over)
    call->finish(error::ended(call->ctx_, call->target_.doing(call->phase_name())));
}

void client_call::client_gone() noexcept {
  const std::lock_guard guard(mutex_);
  if (phase_ != phase::over) fail(curfew::errc::canceled, "the client was destroyed");
}

/// The source of the body has written something, or has returned.
void client_call::upload_ready() noexcept {
  const std::lock_guard guard(mutex_);
  if (!target_.body || phase_ < phase::sending || phase_ == phase::over || holds_body_back_ || asks_) return;
  if (has_unsent() && !target_.body->failure()) return;  // there is room for nothing
  unsent_ = {};
  pump_out();
}

void client_call::source_returned() noexcept {
  const std::lock_guard guard(mutex_);
  if (!delivered_) loop_->later(shared_from_this());
}

/// Tells sources what has been done to them.
void client_call::settle_uploads() {
  std::unique_lock lock(mutex_);
  const std::array both = {target_.body, target_.left};
  lock.unlock();
  for (const auto& each : both) {
    if (each) each->settle();
  }
}

/// In the loop's thread: there is a hook to ask, a grant, an alarm to set, more to send, or an outcome.
void client_call::run() {
  outcome what;
  std::shared_ptr<alarm> clock_set;
  if (has_upload_) settle_uploads();
  {
    std::unique_lock lock(mutex_);
    if (question_.index() != 0) ask_hook(lock);
    if (!asks_ && std::exchange(send_more_, false) && phase_ >= phase::sending && phase_ != phase::over)
      pump_out();
    if (phase_ == phase::queued && waiter_.granted) return with_place();
    if (const auto at = std::exchange(alarm_at_, std::nullopt); at && phase_ != phase::over) {
      lock.unlock();
      clock_set = std::make_shared<alarm>(*at, weak_from_this());  // may ring at once
      lock.lock();
      alarm_.swap(clock_set);
    }
    if (phase_ != phase::over || delivered_) return;
    for (const auto& each : {target_.left, target_.body}) {
      if (each && !each->when_done([self = shared_from_this()] { self->source_returned(); })) return;
    }
    delivered_ = true;
    what = std::move(outcome_);
  }
  watch_.reset();
  limit_.reset();
  lookup_.drop();
  alarm_.reset();
  auto shown = std::move(shown_);
  loop_->release();
  const bool here = !loop_->is_shared();
  const completion done = std::move(done_);
  const auto* to_download = std::get_if<download_completion>(&done);
  const bool goes_on =
      to_download != nullptr && std::holds_alternative<std::unique_ptr<client_exchange>>(what);
  if (!goes_on) shown.close();
  if (auto* why = std::get_if<error>(&what)) return complete(done, std::move(*why), here);
  auto& exchange = std::get<std::unique_ptr<client_exchange>>(what);
  if (to_download == nullptr) {
    std::get<response_completion>(done)->complete(std::move(exchange->head), here);
  } else {
    (*to_download)
        ->complete(download(body_stream::make(client_, asked_with_, std::move(exchange),
                                              target_.doing("reading the body"), std::move(shown))),
                   here);
  }
}

/// Has ring() called at that time.
void client_call::set_alarm(clock::time_point at) {
  alarm_at_ = at;
  loop_->later(shared_from_this());
}

void client_call::on_alarm::operator()() const noexcept {
  const auto call = of.lock();
  if (!call) return;
  const std::lock_guard guard(call->mutex_);
  call->ring();
}

void client_call::ring() {
  if (asks_) return;
  if (phase_ == phase::connecting) return advance_connector();
  if (phase_ == phase::sending && holds_body_back_) {
    holds_body_back_ = false;
    pump_out();
  }
}

// Sending.

void client_call::transmit() {
  enter(phase::sending);
  sent_some_ = false;
  body_over_ = false;
  following_ = false;
  location_.clear();
  ignored_ = 0;
  decoder_.reset();
  decoding_ = decoding::none;
  hooked_fields_.reset();
  holds_body_back_ = false;
  if (!client_->options.on_request()) return send_request();
  ask(send_question{target_.fields_to_send()});
}

void client_call::send_request() {
  exchange_->session.expect(target_.what.method() == "HEAD", exchange_->head);
  write_head();
  pump_out();
}

void client_call::write_head() {
  out_.clear();
  append_request_head(out_, target_,
                      {.instead = hooked_fields_ ? &*hooked_fields_ : nullptr,
                       .decodes = !streams(),
                       .timeout = client_->options.send_deadline() ? timeout_to_send(ctx_) : std::nullopt,
                       .trace = trace_to_send(ctx_, detail::id_of(shown_)),
                       .proxy = target_.url.tls ? nullptr : proxy_.get()});
  const std::string& body = target_.what.body();
  const auto expect = sent_fields().find("Expect");
  holds_body_back_ = expect && same_name(*expect, "100-continue") && (target_.body || !body.empty());
  unsent_ = {};
  if (body.size() <= copied_body && !holds_body_back_) {
    out_ += body;
  } else {
    unsent_[1] = body;
  }
  unsent_[0] = out_;
}

/// Fetches what is to be sent next of a body that streams.
client_call::part client_call::next_part() {
  if (!target_.body || body_over_ || exchange_->cut_off) return part::none;
  const bool chunked = !target_.body->length();
  switch (target_.body->look(unsent_[1])) {
    case upload::state::bytes:
      if (chunked) {
        unsent_[0] = chunk_line_.of(unsent_[1].size());
        unsent_[2] = end_of_chunk;
      }
      return part::some;
    case upload::state::waits:
      return part::waits;
    case upload::state::over:
      body_over_ = true;
      if (!chunked) return part::none;
      unsent_[0] = last_chunk;
      return part::some;
    case upload::state::failed:
      if (ctx_.err()) {  // and so the context of the source
        finish(error::ended(ctx_, target_.doing(phase_name())));
      } else {
        fail(target_.body->failure(), target_.body->detail());
      }
      return part::failed;
  }
  return part::none;
}

void client_call::pump_out() {
  std::size_t in_turn = 0;
  for (;;) {
    client_connection& over = *exchange_->lease.connection;
    if (holds_body_back_ && unsent_[0].empty() && !over.has_output()) {
      if (phase_ == phase::sending) set_alarm(clock::now() + longest_wait_for_continue);
      return;
    }
    if (!has_unsent()) {
      const part fetched = next_part();
      if (fetched == part::some) continue;
      if (fetched == part::failed) return;
      if (!over.has_output()) {
        if (fetched == part::waits) return;
        if (phase_ == phase::sending) enter(phase::waiting);
        if (opens_later_) finish(std::move(exchange_));
        return;
      }
    }
    if (in_turn > sent_in_turn) {
      send_more_ = true;
      return loop_->later(shared_from_this());
    }
    const std::size_t body_before = unsent_[1].size();
    const ssize_t taken = over.write(std::span(unsent_).first(holds_body_back_ ? 1 : unsent_.size()));
    if (taken < 0) {
      const int why = errno;
      if (why == EAGAIN || why == EWOULDBLOCK) return;
      cut_off();
      if (opens_later_) return finish(std::move(exchange_));
      const unsigned failed = exchange_number_;
      pump_in(true);  // the server may have answered before it closed
      if (goes_on(failed) && !asks_) broken(why);
      return;
    }
    sent_some_ = true;
    if (!target_.body) continue;
    in_turn += static_cast<std::size_t>(taken);
    if (const auto of_body = body_before - unsent_[1].size(); of_body != 0) target_.body->consumed(of_body);
  }
}

/// No more of the request is sent over this connection.
void client_call::cut_off() noexcept {
  unsent_ = {};
  exchange_->cut_off = true;
  holds_body_back_ = false;
}

/// For another connection. \return false: it cannot.
bool client_call::begin_body_again() {
  unsent_ = {};
  if (!target_.body) return true;
  loop_->later(shared_from_this());  // settles it
  return target_.body->rewind();
}

// Receiving.

void client_call::on_socket(client_connection& c, std::uint32_t events) {
  const auto is_ours = [&] {
    return phase_ != phase::over && exchange_ && exchange_->lease.connection.get() == &c;
  };
  const std::lock_guard guard(mutex_);
  if (!is_ours() || asks_) return;
  if (phase_ == phase::tunneling) return pump_tunnel();
  if (phase_ == phase::securing) return shake_hands();
  const auto has_to_send = [&] { return has_unsent() || exchange_->lease.connection->has_output(); };
  const bool at_end = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  if (opens_later_) {
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
      cut_off();
      finish(std::move(exchange_));
    } else if ((events & EPOLLOUT) != 0 && has_to_send()) {
      pump_out();
    }
    return;
  }
  if (at_end || (events & EPOLLIN) != 0) pump_in(at_end);
  if (!is_ours() || asks_) return;
  const bool told_to = std::exchange(may_send_, false);
  if (told_to || ((events & EPOLLOUT) != 0 && has_to_send())) pump_out();
}

/// \param to_the_end  An end has been told: reads until it has it. Else a read that takes less than there is room for
///                    has taken all, and what comes after that makes another event; but for TLS, which reads record by
///                    record.
void client_call::pump_in(bool to_the_end) {
  std::array<char, 4096> small;  // where this is not the loop's thread, to which the scratch buffer belongs
  const auto into = loop_->is_here() ? loop_->scratch() : std::span<char>(small);
  client_connection* const from = exchange_->lease.connection.get();
  to_the_end = to_the_end || from->tls() != nullptr;
  for (;;) {
    const ssize_t count = from->read(into);
    if (count > 0) {
      const auto size = static_cast<std::size_t>(count);
      if (take({into.data(), size}) == progress::over) return;
      if (size < into.size() && !to_the_end) return;
    } else if (count == 0) {
      return on_close();
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else {
      return broken(errno);
    }
  }
}

client_call::progress client_call::take(std::string_view bytes) {
  using event = client_session::event;
  client_session& session = exchange_->session;
  bytes = exchange_->with_rest(bytes);
  if (phase_ == phase::sending || phase_ == phase::waiting) enter(phase::header);
  for (;;) {
    switch (session.receive(bytes)) {
      case event::need_more:
        exchange_->keep(bytes);
        return progress::needs_input;
      case event::interim:
        if (session.status_of_interim() == 100 && holds_body_back_) {
          holds_body_back_ = false;
          may_send_ = true;
          enter(phase::sending);
        }
        break;
      case event::head:
        if (on_head() == progress::over) return progress::over;
        if (client_->options.on_response()) {
          exchange_->keep(bytes);
          response_access::timings(exchange_->head) = timings_;
          ask(head_question{exchange_->head});
          return progress::over;
        }
        if (streams() && !following_) {
          exchange_->keep(bytes);
          open_download();
          return progress::over;
        }
        break;
      case event::body:
        if (on_piece(session.piece()) == progress::over) return progress::over;
        break;
      case event::done:
        return on_answer(bytes.empty());
      case event::failed:
        lost(session.failure(), session.detail());
        return progress::over;
    }
  }
}

client_call::progress client_call::on_head() {
  response& head = exchange_->head;
  enter(phase::body);
  const bool in_vain = to_number(head.status()) >= 300 && !all_sent();
  if (in_vain) cut_off();
  const auto location = head.fields().find("Location");
  if (location && !location->empty() && client_->options.max_redirects() != 0 &&
      call_target::is_redirect(head.status())) {
    following_ = true;
    location_ = *location;
    return progress::needs_input;
  }
  if (in_vain && target_.body) {
    target_.body->stop();
    loop_->later(shared_from_this());  // settles it
  }
  const auto coding = head.fields().find("Content-Encoding");
  if (streams() || !coding || sent_fields().contains("Accept-Encoding")) return progress::needs_input;
  if (target_.what.method() != "HEAD") {
    decoder_ = decoder::make(*coding);
    if (!decoder_) {
      fail(errc::bad_response, "the content coding " + std::string(*coding));
      return progress::over;
    }
    head.fields().erase("Content-Encoding");  // the body is decoded: these would be wrong about it
    head.fields().erase("Content-Length");
  }
  return progress::needs_input;
}

/// At once, or when the rest of the request has been sent.
void client_call::open_download() {
  if (all_sent() || exchange_->cut_off) {
    finish(std::move(exchange_));
  } else {
    opens_later_ = true;
  }
}

client_call::progress client_call::on_piece(std::string_view bytes) {
  if (following_) {
    ignored_ += bytes.size();
    if (ignored_ <= redirect_body_limit) return progress::needs_input;
    redirect(false);
    return progress::over;
  }
  std::string& body = exchange_->head.body();
  const std::size_t most = client_->options.max_body_size();
  const auto too_large = [&] {
    fail(errc::too_large, "more than " + std::to_string(most) + " bytes");
    return progress::over;
  };
  if (!decoder_) {
    if (bytes.size() > most - body.size()) return too_large();
    body += bytes;
    return progress::needs_input;
  }
  for (;;) {
    const auto state = decoder_->decode(bytes, body, std::min(decoded_at_once, most - body.size()) + 1);
    if (body.size() > most) return too_large();
    if (state == decoder::state::failed) {
      fail(errc::bad_response, "the body cannot be decoded");
      return progress::over;
    }
    decoding_ = state == decoder::state::done ? decoding::done : decoding::begun;
    if (state != decoder::state::has_more) return progress::needs_input;
  }
}

client_call::progress client_call::on_answer(bool nothing_left) {
  const bool keeps = nothing_left && all_sent() && exchange_->session.keeps_alive();
  if (following_) {
    redirect(keeps);
  } else if (decoding_ == decoding::begun) {
    lost(errc::truncated_body);
  } else {
    auto answered = std::move(exchange_);
    if (keeps) answered->lease.give_back();
    finish(std::move(answered));
  }
  return progress::over;
}

/// The server has closed its side.
void client_call::on_close() {
  using event = client_session::event;
  if (!exchange_->session.started()) return lost(errc::connection_lost);
  if (exchange_->session.receive_end() == event::done) {
    on_answer(false);
  } else {
    lost(exchange_->session.failure(), exchange_->session.detail());
  }
}

/// The connection has failed, with errno `why`.
void client_call::broken(int why) {
  const tls::engine* const tls = exchange_->lease.connection->tls();
  if (why == EPROTO && tls != nullptr) return lost(errc::tls_failure, tls->failure());
  lost(exchange_->session.head_done() ? errc::truncated_body : errc::connection_lost);
}

void client_call::redirect(bool keeps_connection) {
  http::redirect step;
  step.status = exchange_->head.status();
  step.from = target_.url.text;
  if (auto why = target_.follow(location_, step.status, client_->options)) return finish(*std::move(why));
  if (target_.left) loop_->later(shared_from_this());  // settles it
  if (!begin_body_again()) {
    return fail(std::make_error_code(std::errc::operation_not_supported),
                "a redirect, and the source of the body cannot begin again");
  }
  let_go(keeps_connection);
  if (!client_->options.on_redirect()) return hop();
  step.to = target_.url.text;
  step.method = target_.what.method();
  step.count = target_.redirects;
  step.cross_origin = target_.cross_origin;
  origin_.reset();
  enter(phase::queued);
  ask(std::move(step));
}

/// The connection is of no use. A kept one that the server has closed meanwhile is replaced.
void client_call::lost(std::error_code code, std::string_view detail) {
  const bool unanswered = !exchange_->session.started() && code == errc::connection_lost;
  if (!kept_ || !unanswered || (sent_some_ && !target_.is_idempotent())) return fail(code, detail);
  if (!begin_body_again()) return fail(code, "and the source of the body cannot begin again");
  let_go(false);
  hop();
}

// Its end.

void client_call::fail(std::error_code code, std::string_view detail) {
  finish(target_.failed(code, phase_name(), detail));
}

/// There is no way to the server, or to the proxy.
void client_call::fail_to_connect(std::error_code code, std::string_view detail) {
  if (!proxy_) return fail(code, detail);
  std::string whole = "the proxy " + proxy_->shown;
  if (!detail.empty()) whole.append(": ").append(detail);
  fail(code, whole);
}

void client_call::finish(outcome what) {
  outcome_ = std::move(what);
  if (target_.body) {
    unsent_ = {};
    target_.body->stop();
  }
  let_go(false);
  enter(phase::over);
  if (auto* const answered = std::get_if<std::unique_ptr<client_exchange>>(&outcome_))
    response_access::timings((*answered)->head) = timings_;
  client_->delist(*this);
  if (begun_) loop_->later(shared_from_this());  // else begin() does
}

/// Gives the connection and its place away, or the place in the queue, if it has them.
void client_call::let_go(bool keep) noexcept {
  connector_.reset();  // closes its sockets
  drop_attempts();
  if (phase_ == phase::queued && origin_ && !client_->pool->withdraw(*origin_, waiter_) && waiter_.granted) {
    client_lease granted(client_->pool, origin_);
    granted.connection = std::move(waiter_.connection);
    if (granted.connection) granted.give_back();
  }
  if (exchange_ && keep) exchange_->lease.give_back();
  exchange_.reset();
}

void client_call::enter(phase into) noexcept {
  static constexpr std::array counts = {&timings::queued,  &timings::resolving, &timings::connecting,
                                        &timings::proxy,   &timings::tls,       &timings::sending,
                                        &timings::waiting, &timings::reading,   &timings::reading};
  const auto count_of = [](phase of) { return counts[static_cast<std::size_t>(of)]; };
  if (phase_ != phase::over && (into == phase::over || count_of(into) != count_of(phase_))) {
    const auto now = clock::now();
    timings_.*count_of(phase_) += now - entered_;
    entered_ = now;
  }
  phase_ = into;
  if (shown_.ref() && into != phase::over) [[unlikely]]
    detail::task_listener()->wait(shown_.ref(), phase_name(), 0, nullptr);
}

const char* client_call::phase_name() const noexcept {
  switch (phase_) {
    case phase::queued:
      return "waiting for a connection";
    case phase::resolving:
      return "resolving";
    case phase::connecting:
      return "connecting";
    case phase::tunneling:
      return "asking the proxy";
    case phase::securing:
      return "in the TLS handshake";
    case phase::sending:
      return "sending";
    case phase::waiting:
      return "waiting for the response";
    case phase::header:
      return exchange_ && exchange_->session.started() ? "reading the header" : "waiting for the response";
    case phase::body:
    case phase::over:
      return "reading the body";
  }
  return "";
}

}  // namespace curfew::http
