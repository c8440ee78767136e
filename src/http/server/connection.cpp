#include "http/server/connection.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <curfew/core/on_done.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/io/detail/task_executor.hpp>
#include <exception>
#include <tuple>
#include <utility>

#include "http/message/message_access.hpp"
#include "http/server/plain_answer.hpp"
#include "http/server/request_source.hpp"
#include "http/server/response_sink.hpp"
#include "http/server/server_state.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

constexpr std::size_t copied_body = 16 * 1024;  // a smaller body is sent from the same buffer as the head
constexpr std::size_t kept_input = 64 * 1024;   // larger buffers are given back after use
constexpr std::size_t most_read_ahead = 64 * 1024;
constexpr std::size_t small_rest =
    64 * 1024;  // of a body that nothing reads: is thrown away to keep the connection
constexpr std::chrono::seconds linger_time{2};
constexpr unsigned requests_in_a_row = 64;         // then the other connections have their turn
constexpr unsigned writes_in_a_row = 64;           // the same
constexpr std::uint64_t file_piece = 1024 * 1024;  // the same

}  // namespace

// The life of a connection.

connection::connection(worker& on, int socket, peer from)
    : worker_(on),
      transport_(std::make_unique<plain_transport>(on.events(), socket)),
      from_(std::move(from)),
      proxy_header_(from_.sends_proxy_header ? std::make_unique<proxy_header>() : nullptr),
      exchange_(std::in_place, on, from_),
      parser_(exchange_->request(), on.server().settings.max_header_size(),
              on.server().settings.max_body_size()) {}

connection::~connection() = default;

void connection::start(std::shared_ptr<connection> self) {
  connection& c = *self;
  c.transport_->watch(c);
  auto over = [self = std::move(self)](std::exception_ptr thrown) mutable {
    if (thrown) self->exchange_->complain("connection closed: out of memory, or an error of the system");
    if (self->exchange_->is_running()) self->exchange_->end(exchange::outcome::client_gone);
    worker& w = self->worker_;
    self->close_reader();
    self->transport_->close();
    if (self->lingering_) w.server().lingering.fetch_sub(1);
    w.remove(std::move(self));
  };
  asio::co_spawn(detail::working_for_on(c.lane_.ref(), c.worker_.io().get_executor()), c.serve(),
                 std::move(over));
}

asio::awaitable<void> connection::serve() {
  bool open = true;
  if (from_.identity) open = co_await secure();
  if (open) co_await serve_requests();
  if (linger_) co_await linger();
}

asio::awaitable<void> connection::serve_requests() {
  for (unsigned in_a_row = 0;;) {
    const step then = advance();
    if (then == step::close) break;
    if (then == step::wait) {
      if (given_up_ || (is_stopping() && !parser_.header_done())) break;
      in_a_row = 0;
      const auto begin = arm_input();
      co_await suspend(in_);
      add_to_waited(begin);
      if (given_up_) break;
      if (!in_.timed_out) continue;
      if (!parser_.started()) break;
      keep_alive_ = false;
      linger_ = co_await send_response(plain_answer(status::request_timeout), nullptr);
      break;
    }
    if (then == step::refuse) {
      keep_alive_ = false;
      linger_ = co_await send_response(plain_answer(refusal_), nullptr);
      break;
    }
    if (then == step::expect) {
      // If it is refused anyway, the client had better not send the body: that is what it asked for.
      if (exchange_->find_route().what == routing::kind::found &&
          parser_.timeout() != clock::duration::zero()) {
        const bool sent = co_await send_continue();
        if (!sent) break;
        continue;
      }
      keep_alive_ = false;
    }
    const bool stays = co_await answer();
    if (!stays) break;
    if (!parser_.is_done()) {
      const bool whole = co_await throw_rest_away();
      if (!whole) {
        linger_ = true;
        break;
      }
    }
    next_exchange();
    if (++in_a_row == requests_in_a_row) {
      in_a_row = 0;
      co_await asio::post(asio::use_awaitable);
    }
  }
}

/// Closing a socket with unread input makes the kernel send a reset, which may overtake the response. So: no
/// more output, and then what the client still sends is thrown away, for a while. No shutdown waits for that.
asio::awaitable<void> connection::linger() {
  if (transport_->ended()) co_return;
  lingering_ = true;
  worker_.server().lingers();
  transport_->finish();
  in_.expires = clock::now() + linger_time;
  for (;;) {
    input_.clear();
    if (!receive().empty()) continue;
    if (transport_->ended() || given_up_) co_return;
    co_await suspend(in_);
    if (in_.timed_out || in_.aborted) co_return;
  }
}

bool connection::is_stopping() const noexcept {
  return worker_.server().stopping.load(std::memory_order_relaxed);
}

bool connection::has_gone() const noexcept {
  return transport_->gone() ||
         (transport_->half_closed() && !worker_.server().settings.half_close_is_alive());
}

// Waiting.

/// Ends a wait when its context ends.
class connection::aborter {
 public:
  aborter(connection& of, wait connection::* at, bool half_close_aborts = true)
      : self_(of.weak_from_this()),
        at_(at),
        number_((of.*at).number),
        half_close_aborts_(half_close_aborts) {}

  void operator()() const noexcept {
    auto c = self_.lock();
    if (!c) return;
    asio::post(c->worker_.io(), [c, at = at_, number = number_, half_close_aborts = half_close_aborts_] {
      const auto& t = *c->transport_;
      const bool half = t.half_closed() && !t.gone() && !half_close_aborts;
      if ((*c.*at).number == number && !half) c->abort(*c.*at);
    });
  }

 private:
  std::weak_ptr<connection> self_;
  wait connection::* at_;
  unsigned number_;
  bool half_close_aborts_;
};

/// Suspends the coroutine until `wake` is called.
asio::awaitable<void> connection::suspend(wait& at) {
  at.timed_out = at.aborted = false;
  return asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      [&at](auto resume) { at.resume = std::move(resume); }, asio::use_awaitable);
}

void connection::wake(wait& at) {
  if (!at.resume) return;
  worker& w = worker_;  // the coroutine may end, and this with it
  auto resume = std::exchange(at.resume, nullptr);
  const detail::working_for here(lane_.ref(), detail::working_for::on_loop());
  resume();
  w.runs(nullptr);
}

void connection::abort(wait& at) {
  at.aborted = true;
  wake(at);
}

// What a wake destroys stays until the events of the round have been handled: the loop keeps what has retired.

void connection::on_event(std::uint32_t events) {
  transport_->on_event(events);
  if (exchange_->is_left_behind()) {
    while (!receive().empty()) input_.clear();
    if (transport_->ended()) transport_->close();
  } else if (exchange_->is_running()) {
    look_for_end();
  }
  wake(out_);
  wake(in_);
}

/// While a handler runs: has its client gone? An end that came together with the request makes no event of its own.
void connection::look_for_end() {
  if (parser_.is_done()) read_ahead();  // what is left of a body stays with the kernel, until it is asked for
  if (has_gone()) exchange_->client_gone();
  if (transport_->gone() && !in_.resume && !out_.resume)
    transport_->close();  // the handler may run on for long
}

/// While a handler runs: TCP delivers the client's end only behind what it has sent before, so that must not
/// fill the kernel's buffer. Beyond the limit only a reset is noticed.
void connection::read_ahead() {
  while (transport_->may_read() && input_.size() < most_read_ahead) {
    const bool was_empty = input_.empty();
    const auto bytes = receive();
    if (was_empty) keep(bytes);
  }
}

void connection::on_tick(clock::time_point now) {
  for (wait* at : {&out_, &in_}) {
    if (!at->resume || now < at->expires) continue;
    at->timed_out = true;
    wake(*at);
  }
  if (exchange_->is_left_behind()) {
    if (now >= out_.expires) transport_->close();
  } else if (exchange_->is_running() && exchange_->is_overdue()) {
    cut();
  }
}

/// The time of the exchange is over, and the handler's to answer that.
void connection::cut() {
  if (!handling_) {  // a client that is too slow, or a body's source that goes on
    if (out_.resume) return abort(out_);
    return transport_->close();
  }
  exchange_->leave_behind();
  body_failed_ = error(make_error_code(errc::connection_lost), "reading the body of the request");
  out_.expires = clock::now() + linger_time;
  if (transport_->gone()) return;
  const response late = plain_answer(status::service_unavailable);
  head_options options = options_of_head(false);
  output_.clear();
  const auto how = append_head(output_, late, worker_.date(), options);
  if (how == framing::sized) output_ += late.body();
  pending_ = {output_};
  std::ignore = transport_->write(pending_);  // a client that does not take it at once gets an end without it
  transport_->finish();
  input_.clear();
}

void connection::begin_shutdown() {
  if (lingering_) return abort(in_);
  if (exchange_->is_left_behind()) return transport_->close();
  if (!parser_.header_done() || discarding_) wake(in_);  // `serve` looks whether there is anything to read
}

void connection::give_up() {
  given_up_ = true;
  wake(out_);
  wake(in_);
}

/// Sets the time of a wait for what the client sends, which begins now.
/// \return the time for add_to_waited().
clock::time_point connection::arm_input() {
  const auto& s = worker_.server().settings;
  const auto begin = clock::now();  // a handler may have taken long since the worker looked
  if (parser_.header_done()) {
    in_.expires = begin + s.body_timeout() - body_waited_;
    if (s.min_body_rate() != 0) in_.expires += std::chrono::seconds(parser_.body_taken() / s.min_body_rate());
  } else if (const phase now = parser_.started() ? phase::header : phase::idle; phase_ != now) {
    // The first header has its time from the connection's start on.
    if (!first_request_ || phase_ == phase::none) {
      in_.expires = begin + (now == phase::idle && !first_request_ ? s.idle_timeout() : s.header_timeout());
    }
    phase_ = now;
  }
  return begin;
}

void connection::add_to_waited(clock::time_point begin) {
  if (parser_.header_done()) body_waited_ += clock::now() - begin;
}

// Reading.

/// Goes on until there is a request, or nothing more can be done without the client.
connection::step connection::advance() {
  std::string_view bytes = input_;
  bool kept = true;
  for (;; kept = false) {
    if (proxy_header_ && !take_proxy_header(bytes)) return step::close;
    if (!bytes.empty()) {
      using enum request_parser::progress;
      auto progress = done;
      if (!parser_.header_done()) {
        progress = parser_.feed_header(bytes);
        if (progress == done) {
          if (kept) {
            exchange_->header_came(input_at_);
          } else if (!parser_.is_done()) {
            exchange_->header_came(worker_.server().base.now());
          }
          if (!take_header()) progress = failed;
        }
      }
      if (progress == done && !source_) progress = parser_.feed(bytes);
      keep(bytes);
      if (progress == failed) {
        refusal_ = parser_.failure();
        return step::refuse;
      }
      if (!source_ && !exchange_->count_body()) {
        request_access::body(exchange_->request()) = {};
        exchange_->let_go_of_body();
        refusal_ = status::service_unavailable;
        return step::refuse;
      }
      if (progress == done) return step::request;
      if (parser_.header_done() && parser_.expects_continue() && !continued_ && parser_.body_taken() == 0) {
        return step::expect;
      }
    }
    bytes = receive();
    if (transport_->ended()) return step::close;
    if (bytes.empty()) return step::wait;
  }
}

/// The header is there: decides where the body goes.
/// \return false if it is too large.
bool connection::take_header() {
  const routing& where = exchange_->find_route();
  const route_options options = where.what == routing::kind::found ? where.to->options : route_options();
  if (!parser_.limit_body(options.max_body_size().value_or(worker_.server().settings.max_body_size())))
    return false;
  if (options.streams_body()) {
    source_ = std::make_shared<body_reader::source>(*this, worker_.io());
    request_access::reader(exchange_->request()) = body_reader(source_);
    parser_.body_into(nullptr);
  }
  return true;
}

/// Feeds the body with what there is, until there is something in `into`. Null: throws it away, as much as is small.
request_parser::progress connection::pump_body(std::string* into) {
  parser_.body_into(into);
  const auto before = parser_.body_taken();
  std::string_view bytes = input_;
  for (;;) {
    auto progress = parser_.is_done() ? request_parser::progress::done : request_parser::progress::need_more;
    if (!bytes.empty() && progress == request_parser::progress::need_more) {
      progress = parser_.feed(bytes);
      keep(bytes);
    }
    const auto taken = parser_.body_taken() - before;
    if (progress != request_parser::progress::need_more || taken > (into == nullptr ? small_rest : 0))
      return progress;
    bytes = receive();
    if (bytes.empty()) return progress;
  }
}

/// Of a body that nothing reads any more: is what is left so small that the connection may stay?
bool connection::is_rest_small() {
  if (parser_.is_done()) return true;
  if (body_failed_ || (parser_.expects_continue() && !continued_)) return false;
  const auto left = parser_.body_left();
  if (left && *left > small_rest) return false;
  const auto progress = pump_body(nullptr);
  return progress == request_parser::progress::done ||
         (progress == request_parser::progress::need_more && left.has_value());
}

/// \return whether the next request can follow.
asio::awaitable<bool> connection::throw_rest_away() {
  if (!is_rest_small()) co_return false;
  discarding_ = true;
  bool whole = parser_.is_done();
  for (auto left = small_rest; !whole && !is_stopping() && !given_up_;) {
    const auto before = parser_.body_taken();
    const auto progress = pump_body(nullptr);
    whole = progress == request_parser::progress::done;
    const auto taken = parser_.body_taken() - before;
    if (whole || progress == request_parser::progress::failed || taken > left || transport_->ended()) {
      break;
    }
    left -= taken;
    const auto begin = arm_input();
    co_await suspend(in_);
    add_to_waited(begin);
    if (in_.timed_out) break;
  }
  discarding_ = false;
  co_return whole;
}

asio::awaitable<bool> connection::send_continue() {
  continued_ = true;
  pending_ = {"HTTP/1.1 100 Continue\r\n\r\n"};
  const bool sent = co_await send_pending(nullptr, patience::response);
  co_return sent;
}

asio::awaitable<result<std::optional<std::string>>> connection::read(context ctx) {
  constexpr auto doing = "reading the body of the request";
  const auto fail = [&](error why) {
    body_failed_ = std::move(why);
    return std::unexpected(*body_failed_);
  };
  const auto source = source_;
  for (;;) {
    if (ctx.err()) co_return std::unexpected(error::ended(ctx, doing));
    if (body_failed_) co_return std::unexpected(*body_failed_);
    std::string piece;
    const auto progress = pump_body(&piece);
    parser_.body_into(nullptr);
    if (progress == request_parser::progress::done && exchange_->is_running()) look_for_end();
    if (!piece.empty()) co_return piece;
    if (progress == request_parser::progress::done) co_return std::nullopt;
    if (progress == request_parser::progress::failed) {
      if (parser_.failure() == status::content_too_large)
        co_return fail(error(make_error_code(errc::too_large), doing));
      co_return fail(error(std::make_error_code(std::errc::bad_message), doing));
    }
    if (transport_->ended() || given_up_) {
      if (exchange_->is_running()) exchange_->client_gone();
      if (ctx.err()) co_return std::unexpected(error::ended(ctx, doing));
      co_return fail(error(make_error_code(errc::connection_lost), doing));
    }
    if (parser_.expects_continue() && !continued_ && parser_.body_taken() == 0) {
      const bool sent = co_await send_continue();
      if (!sent) transport_->close();  // a part of it may have been sent
      if (source->open == nullptr) co_return std::nullopt;
      continue;
    }
    ++in_.number;
    {
      const on_done<aborter> ending(ctx, aborter(*this, &connection::in_));
      const auto begin = arm_input();
      co_await suspend(in_);
      add_to_waited(begin);
    }
    ++in_.number;
    if (source->open == nullptr) co_return std::nullopt;  // the caller's reader says so
    if (in_.timed_out) co_return fail(error(std::make_error_code(std::errc::timed_out), doing));
  }
}

/// What reads the body gets an error from now on.
void connection::close_reader() {
  if (!source_) return;
  const auto source = std::exchange(source_, nullptr);
  source->close();
  if (source->reading) {
    abort(out_);
    abort(in_);
  }
}

/// Everything that is not understood yet, if there are new bytes; else nothing.
std::string_view connection::receive() {
  const auto into = worker_.events().scratch();
  const std::size_t size = transport_->read(into);
  if (size == 0) return {};
  if (input_.empty()) return {into.data(), size};
  input_.append(into.data(), size);
  input_at_ = worker_.server().base.now();
  return input_;
}

void connection::keep(std::string_view rest) {
  if (input_.empty()) {
    if (rest.empty()) return;
    input_ = rest;
    input_at_ = worker_.server().base.now();
  } else if (rest.empty()) {
    input_.clear();
    if (input_.capacity() > kept_input) input_.shrink_to_fit();
  } else {
    input_.erase(0, input_.size() - rest.size());
  }
}

// The request at hand.

/// Lets go of the request at hand, which whatever holds a context of it may still read.
void connection::next_exchange() {
  exchange_.emplace(worker_, from_);
  parser_.reset(exchange_->request());
  phase_ = phase::none;
  continued_ = false;
  first_request_ = false;
  body_failed_.reset();
  body_waited_ = {};
}

/// Runs the handler and sends what it returns.
/// \return whether the connection stays for another request.
asio::awaitable<bool> connection::answer() {
  if (from_.is_trusted) exchange_->ask_proxies(from_);
  const auto most = worker_.server().settings.max_requests();
  keep_alive_ = keep_alive_ && parser_.keep_alive() && (++requests_ < most || most == 0);
  const routing& where = exchange_->find_route();
  std::optional<response> reply;
  switch (where.what) {
    case routing::kind::found:
      if (!exchange_->begin(parser_.timeout(), lane_.ref())) reply = plain_answer(status::gateway_timeout);
      break;
    case routing::kind::bad_path:
      reply = plain_answer(status::bad_request);
      break;
    case routing::kind::unknown:
      reply = plain_answer(status::not_found);
      break;
    case routing::kind::no_method:
      reply = plain_answer(status::method_not_allowed);
      break;
    case routing::kind::describe:
      reply.emplace(status::no_content);
      break;
  }
  if (reply) {
    close_reader();
    if (!where.allow.empty()) reply->set("Allow", where.allow);
    const bool complete = co_await send_response(std::move(*reply), nullptr);
    linger_ = complete && !keep_alive_;
    co_return complete&& keep_alive_;
  }

  look_for_end();
  std::string failure;
  handling_ = true;
  worker_.runs(&*exchange_);
  try {
    auto running = where.to->call(exchange_->ctx(), exchange_->request());
    reply = co_await std::move(running);
  } catch (const std::exception& e) {
    failure = std::string("the handler threw: ") + e.what();
  } catch (...) {
    failure = "the handler threw";
  }
  worker_.runs(nullptr);
  handling_ = false;
  if (!reply) {
    exchange_->complain(failure);
    reply = plain_answer(status::internal_server_error);
  }
  if (exchange_->is_left_behind()) {
    close_reader();
    exchange_->end(exchange::outcome::left_behind);
    linger_ = true;
    co_return false;
  }
  if (!reply->source()) close_reader();
  const bool complete = co_await send_response(std::move(*reply), &exchange_->ctx());
  close_reader();
  exchange_->end(complete ? exchange::outcome::answered : exchange::outcome::client_gone);
  linger_ = complete && !keep_alive_;
  co_return complete&& keep_alive_;
}

// Writing.

/// As the request at hand wants it.
head_options connection::options_of_head(bool keep_alive) const {
  head_options options;
  options.is_head = exchange_->request().method() == "HEAD";
  options.http11 = !parser_.header_done() || parser_.http11();
  options.keep_alive = keep_alive;
  return options;
}

/// \param ctx  Of the request, if a handler made the response.
/// \return whether all of it has been sent.
asio::awaitable<bool> connection::send_response(response reply, const context* ctx) {
  if (transport_->gone()) co_return false;
  if (ctx != nullptr && ctx->err()) ctx = nullptr;  // what is sent is the answer to that end
  head_options options = options_of_head(keep_alive_ && !is_stopping());
  if (options.keep_alive && parser_.header_done() && !reply.source()) options.keep_alive = is_rest_small();
  output_.clear();
  if (reply.source() && source_ && parser_.expects_continue() && !continued_ && !parser_.is_done()) {
    output_ = "HTTP/1.1 100 Continue\r\n\r\n";  // what makes the body may read, and then it is too late
    continued_ = true;
  }
  auto how = append_head(output_, reply, worker_.date(), options);
  if (!how) {
    exchange_->complain("the handler's response has a status or a field that must not be sent");
    reply = plain_answer(status::internal_server_error);
    how = append_head(output_, reply, worker_.date(), options);
  }
  keep_alive_ = options.keep_alive;
  pending_ = {};
  const auto file = response_access::file(reply);
  if (*how == framing::sized && !file) {
    if (reply.body().size() <= copied_body) {
      output_ += reply.body();
    } else {
      pending_[1] = reply.body();
    }
  }
  pending_[0] = output_;
  written now = try_send();
  if (now == written::blocked) {
    const bool rest = co_await finish_send(ctx, patience::response);
    now = rest ? written::all : written::failed;
  }
  if (now == written::failed) co_return false;
  if (*how == framing::none) co_return true;
  if (*how == framing::sized) {
    if (!file) co_return true;
    const bool whole = co_await send_file(*file, ctx);
    co_return whole;
  }
  const bool streamed = co_await send_stream(reply.source(), *how);
  co_return streamed;
}

/// In pieces, so that a client that takes all at once does not hold the thread.
asio::awaitable<bool> connection::send_file(const file_body& what, const context* ctx) {
  file_ = {what.from.file.get(), what.offset, 0};
  bool sent = true;
  for (auto left = what.length; sent && left != 0;) {
    if (left != what.length) co_await asio::post(asio::use_awaitable);
    file_.left = std::min(left, file_piece);
    left -= file_.left;
    sent = !given_up_ && (ctx == nullptr || !ctx->err());
    if (sent) sent = co_await send_pending(ctx, patience::response);
  }
  if (file_.failure != 0) {
    const std::error_code why(file_.failure, std::generic_category());
    exchange_->complain(
        "the file " + what.path +
        (why == std::errc::io_error ? " has become shorter, or cannot be read" : ": " + why.message()));
  }
  file_ = {};
  co_return sent;
}

asio::awaitable<bool> connection::send_stream(body_source source, framing how) {
  chunked_ = how == framing::chunked;
  broken_ = false;
  std::string failure;
  const auto sink = std::make_shared<response_sink>();
  sink->open = this;
  worker_.runs(&*exchange_);
  try {
    auto running = source(exchange_->ctx(), body_writer(sink));
    co_await std::move(running);
  } catch (const std::exception& e) {
    failure = std::string("the body's source threw: ") + e.what();
  } catch (...) {
    failure = "the body's source threw";
  }
  worker_.runs(nullptr);
  sink->open = nullptr;
  if (sink->writing != 0 && failure.empty())
    failure = "the body's source returned while a part of the body was being written";
  if (!failure.empty()) {
    exchange_->complain(failure);
    broken_ = true;
  }
  if (sink->writing != 0) abort(out_);
  // A source that stops because its context has ended may not be done.
  if (broken_ || transport_->gone() || exchange_->ctx().err()) {
    // Without a last chunk the client sees that something is missing; where closing is the end, only a reset
    // says so.
    transport_->close(!chunked_);
    co_return false;
  }
  if (!chunked_) co_return true;
  pending_ = {last_chunk};
  const bool rest = co_await send_pending(nullptr, patience::response);
  co_return rest;
}

asio::awaitable<result<>> response_sink::write(context ctx, std::string bytes) {
  const auto self = shared_from_this();  // the writer may be gone before the write is over
  ++writing;
  // A client that takes all at once lets no write wait.
  if (++written % writes_in_a_row == 0) co_await asio::post(asio::use_awaitable);
  if (open == nullptr) {
    --writing;
    co_return error(std::make_error_code(std::errc::operation_not_permitted),
                    "sending the body of the response (it is over)");
  }
  auto write = open->write(std::move(ctx), std::move(bytes));
  auto outcome = co_await std::move(write);
  --writing;
  co_return outcome;
}

asio::awaitable<result<>> connection::write(context ctx, std::string bytes) {
  constexpr auto doing = "sending the body of the response";
  if (ctx.err()) {
    broken_ = true;
    co_return std::unexpected(error::ended(ctx, doing));
  }
  if (transport_->gone() || broken_)
    co_return std::unexpected(error(make_error_code(errc::connection_lost), doing));
  if (bytes.empty()) co_return result<>();  // as a chunk it would be the last one
  if (chunked_) {
    pending_ = {chunk_line_.of(bytes.size()), bytes, end_of_chunk};
  } else {
    pending_ = {bytes};
  }
  const bool sent = co_await send_pending(&ctx, patience::stream);
  if (sent) co_return result<>();
  broken_ = true;
  if (exchange_->is_running() && !ctx.err()) exchange_->client_gone();
  if (ctx.err()) co_return std::unexpected(error::ended(ctx, doing));
  co_return std::unexpected(error(make_error_code(errc::connection_lost), doing));
}

connection::written connection::try_send() {
  written now = transport_->write(pending_);
  if (now == written::all && file_.left != 0) now = transport_->write(file_);
  if (now == written::failed && file_.failure == 0 && exchange_->is_running()) exchange_->client_gone();
  return now;
}

asio::awaitable<bool> connection::send_pending(const context* ctx, patience how) {
  const written now = try_send();
  if (now != written::blocked) co_return now == written::all;
  const bool rest = co_await finish_send(ctx, how);
  co_return rest;
}

/// Waits until the client has taken what is pending.
/// \param ctx  Ends it; null: the client has as long as it takes some of it.
asio::awaitable<bool> connection::finish_send(const context* ctx, patience how) {
  ++out_.number;
  out_.aborted = false;
  std::optional<on_done<aborter>> ending;
  if (ctx != nullptr) ending.emplace(*ctx, aborter(*this, &connection::out_, how == patience::stream));
  bool done = false;
  std::size_t before = 0;
  for (;;) {
    std::size_t left = 0;
    for (const auto part : pending_) left += part.size();
    left += transport_->kept() + file_.left;
    if (left != before)  // a client that takes some may go on
      out_.expires = clock::now() + worker_.server().settings.body_timeout();
    before = left;
    if (given_up_ || out_.aborted || transport_->gone()) break;
    co_await suspend(out_);
    if (given_up_ || out_.aborted || out_.timed_out || transport_->gone()) break;
    const written now = try_send();
    done = now == written::all;
    if (now != written::blocked) break;
  }
  ++out_.number;
  co_return done;
}

}  // namespace curfew::http
