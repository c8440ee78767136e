#include "http/server/connection.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <charconv>
#include <curfew/core/on_done.hpp>
#include <curfew/http/errc.hpp>
#include <exception>
#include <utility>

#include "http/message/message_access.hpp"
#include "http/server/response_sink.hpp"
#include "http/server/server_state.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

constexpr std::size_t copied_body = 16 * 1024;  // a smaller body is sent from the same buffer as the head
constexpr std::size_t kept_input = 64 * 1024;   // larger buffers are given back after use
constexpr std::size_t most_read_ahead = 64 * 1024;
constexpr std::chrono::seconds linger_time{2};
constexpr unsigned requests_in_a_row = 64;  // then the other connections have their turn

response plain(status code) {
  std::string body = std::to_string(to_number(code));
  body += ' ';
  body += reason(code);
  body += '\n';
  return text(code, std::move(body));
}

/// A request that its contexts keep.
struct kept_request {
  mutable request it{{}, {}};
};
constexpr key<kept_request> request_key{"http request"};

std::string name_of(const request& r) {
  constexpr std::size_t most = 200;
  std::string name = r.method() + ' ' + r.target().substr(0, most);
  if (r.target().size() > most) name += "...";
  return name;
}

}  // namespace

// The life of a connection.

connection::connection(worker& on, int socket, std::string remote)
    : worker_(on),
      socket_(socket),
      remote_(std::move(remote)),
      holder_(with_value(on.server().base, request_key, {})),
      request_(&holder_.value(request_key)->it),
      parser_(*request_, on.server().settings.max_header_size, on.server().settings.max_body_size) {
  request_access::remote(*request_) = remote_;
}

connection::~connection() { close(); }

void connection::start(std::shared_ptr<connection> self) {
  connection& c = *self;
  if (!c.worker_.events().watch(c.socket_, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, c)) c.gone_ = true;
  auto over = [self = std::move(self)](std::exception_ptr thrown) mutable {
    if (thrown) self->complain("connection closed: out of memory, or an error of the system");
    worker& w = self->worker_;
    self->close();
    w.remove(std::move(self));
  };
  asio::co_spawn(c.worker_.io(), c.serve(), std::move(over));
}

asio::awaitable<void> connection::serve() {
  for (unsigned in_a_row = 0;;) {
    const step next = advance();
    if (next == step::close) break;
    if (next == step::wait) {
      if (given_up_ || (worker_.server().stopping.load(std::memory_order_relaxed) && !parser_.started()))
        break;
      in_a_row = 0;
      arm_timeout();
      co_await suspend(waiting::reading);
      if (given_up_) break;
      if (!timed_out_) continue;
      if (!parser_.started()) break;
      keep_alive_ = false;
      unread_ = true;
      linger_ = co_await send_response(plain(status::request_timeout), nullptr);
      break;
    }
    if (next == step::refuse) {
      keep_alive_ = false;
      unread_ = true;
      linger_ = co_await send_response(plain(parser_.failure()), nullptr);
      break;
    }
    if (next == step::expect) {
      // If it is refused anyway, the client had better not send the body: that is what it asked for.
      const auto where = router_access::find(worker_.server().routes, *request_);
      if (where.what == routing::kind::found && parser_.timeout() != clock::duration::zero()) {
        continued_ = true;
        request_access::params(*request_).clear();
        pending_ = {"HTTP/1.1 100 Continue\r\n\r\n"};
        sent now = try_send();
        if (now == sent::blocked) {
          const bool rest = co_await finish_send(nullptr, patience::response);
          now = rest ? sent::all : sent::failed;
        }
        if (now == sent::failed) break;
        continue;
      }
      keep_alive_ = false;
      unread_ = true;
      request_access::params(*request_).clear();
    }
    const bool stays = co_await answer();
    if (!stays) break;
    next_request();
    phase_ = phase::none;
    continued_ = false;
    first_request_ = false;
    header_at_.reset();
    if (++in_a_row == requests_in_a_row) {
      in_a_row = 0;
      co_await asio::post(asio::use_awaitable);
    }
  }
  if (linger_) co_await linger();
}

/// Closing a socket with unread input makes the kernel send a reset, which may overtake the response. So: no
/// more output, and then what the client still sends is thrown away, for a while.
asio::awaitable<void> connection::linger() {
  if (gone_ || at_end_ || socket_ < 0) co_return;
  ::shutdown(socket_, SHUT_WR);
  expires_ = clock::now() + linger_time;
  while (!gone_ && !at_end_) {
    input_.clear();
    if (receive().empty() && !gone_ && !at_end_) {
      if (given_up_ || (!unread_ && worker_.server().stopping.load(std::memory_order_relaxed))) co_return;
      co_await suspend(waiting::lingering);
      if (timed_out_ || given_up_) co_return;
    }
  }
}

void connection::close(bool reset) noexcept {
  if (socket_ < 0) return;
  worker_.events().unwatch(socket_);  // closing alone would leave it there if a child process had a copy
  if (reset) {
    const struct linger at_once{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  ::close(std::exchange(socket_, -1));
}

void connection::link(connection*& first, connection& c) noexcept {
  c.next_ = first;
  if (first != nullptr) first->previous_ = &c;
  first = &c;
}

void connection::unlink(connection*& first, connection& c) noexcept {
  (c.previous_ != nullptr ? c.previous_->next_ : first) = c.next_;
  if (c.next_ != nullptr) c.next_->previous_ = c.previous_;
}

// Waiting.

/// Suspends the coroutine until `wake` is called.
asio::awaitable<void> connection::suspend(waiting w) {
  waiting_ = w;
  timed_out_ = false;
  return asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      [this](auto resume) { resume_ = std::move(resume); }, asio::use_awaitable);
}

void connection::wake() {
  worker& w = worker_;  // the coroutine may end, and this with it
  waiting_ = waiting::nothing;
  auto resume = std::exchange(resume_, nullptr);
  resume();
  w.runs(nullptr);
}

void connection::on_event(std::uint32_t events) {
  // Our side is shut: then a half-close looks like a reset.
  const bool finished = waiting_ == waiting::lingering;
  if ((events & EPOLLRDHUP) != 0) half_closed_ = true;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && !finished) gone_ = true;
  readable_ = true;
  if (scope_) read_ahead();
  if (scope_ && (gone_ || (half_closed_ && !worker_.server().settings.half_close_is_alive))) client_gone();
  if (gone_ && scope_ && waiting_ == waiting::nothing) close();  // the handler may run on for long
  if (waiting_ != waiting::nothing) wake();
}

/// While a handler runs: TCP delivers the client's end only behind what it has sent before, so that must not
/// fill the kernel's buffer. Beyond the limit only a reset is noticed.
void connection::read_ahead() {
  while (readable_ && !gone_ && !at_end_ && input_.size() < most_read_ahead) {
    const bool was_empty = input_.empty();
    const auto bytes = receive();
    if (was_empty) input_ = bytes;
  }
}

void connection::on_tick(clock::time_point now) {
  if (waiting_ == waiting::nothing || now < expires_) return;
  timed_out_ = true;
  wake();
}

void connection::close_if_idle() {
  if (waiting_ == waiting::reading && !parser_.started())
    wake();  // `serve` looks whether there is anything to read
}

void connection::give_up() {
  given_up_ = true;
  if (waiting_ != waiting::nothing) wake();
}

void connection::arm_timeout() {
  const auto& s = worker_.server().settings;
  const phase now = parser_.header_done() ? phase::body : parser_.started() ? phase::header : phase::idle;
  if (phase_ == now) return;
  phase_ = now;
  const auto time = clock::now();  // a handler may have taken long since the worker looked
  switch (now) {
    case phase::none:
      break;
    case phase::idle:
      expires_ = time + (first_request_ ? s.header_timeout : s.idle_timeout);
      break;
    case phase::header:
      expires_ = time + s.header_timeout;
      break;
    case phase::body:
      expires_ = time + s.body_timeout;
      header_at_ = worker_.server().base.now();
      break;
  }
}

// Reading.

/// Goes on until there is a request, or nothing more can be done without the client.
connection::step connection::advance() {
  std::string_view bytes = input_;
  for (;;) {
    if (!bytes.empty()) {
      const auto progress = parser_.feed(bytes);
      keep(bytes);
      if (progress == request_parser::progress::done) return step::request;
      if (progress == request_parser::progress::failed) return step::refuse;
      if (parser_.header_done() && parser_.expects_continue() && !continued_ && request_->body().empty()) {
        return step::expect;
      }
    }
    bytes = receive();
    if (gone_ || at_end_) return step::close;
    if (bytes.empty()) return step::wait;
  }
}

/// Everything that is not understood yet, if there are new bytes; else nothing.
std::string_view connection::receive() {
  while (readable_ && !gone_ && !at_end_) {
    const auto into = worker_.events().scratch();
    const ssize_t count = ::recv(socket_, into.data(), into.size(), 0);
    if (count > 0) {
      const auto size = static_cast<std::size_t>(count);
      // Edge-triggered: what comes after a read that took all there was makes a new event. An end that has
      // been told already does not.
      if (size < into.size() && !half_closed_) readable_ = false;
      if (input_.empty()) return {into.data(), size};
      input_.append(into.data(), size);
      return input_;
    }
    if (count == 0) {
      at_end_ = half_closed_ = true;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      readable_ = false;
    } else if (errno != EINTR) {
      gone_ = true;
    }
  }
  return {};
}

void connection::keep(std::string_view rest) {
  if (input_.empty()) {
    if (!rest.empty()) input_ = rest;
  } else if (rest.empty()) {
    input_.clear();
    if (input_.capacity() > kept_input) input_.shrink_to_fit();
  } else {
    input_.erase(0, input_.size() - rest.size());
  }
}

// The request at hand.

/// Lets go of the request at hand, which whatever holds a context of it may still read.
void connection::next_request() {
  holder_ = with_value(worker_.server().base, request_key, {});
  request_ = &holder_.value(request_key)->it;
  request_access::remote(*request_) = remote_;
  parser_.reset(*request_);
}

/// Makes the context of the request.
/// \return the answer, if it is too late for any other.
std::optional<response> connection::begin(const route& to) {
  const server_state& server = worker_.server();
  auto limit = to.options.has_time_limit() ? server.settings.max_request_time : clock::duration::max();
  if (const auto wire = parser_.timeout()) limit = std::min(limit, *wire);
  const bool unlimited = limit == clock::duration::max();
  if (!unlimited && header_at_) limit -= server.base.now() - *header_at_;
  if (limit <= clock::duration::zero()) return plain(status::gateway_timeout);
  {
    cancel_scope made = unlimited ? with_cancel(holder_) : with_timeout(holder_, limit);
    const std::lock_guard guard(worker_.mutex());
    scope_.emplace(std::move(made));
    route_ = &to;
    began_ = worker_.events().now();
  }
  worker_.count_request(true);
  if (server.ending.load())
    scope_->cancel(cause(errc::shutdown));  // it began after the contexts had been collected
  if (gone_ || (half_closed_ && !server.settings.half_close_is_alive)) client_gone();
  return std::nullopt;
}

void connection::end(const cause& why) noexcept {
  std::optional<cancel_scope> over;
  {
    const std::lock_guard guard(worker_.mutex());
    over.swap(scope_);
    if (worker_.server().stopping.load(std::memory_order_relaxed)) worker_.count_finished();
  }
  worker_.count_request(false);
  over->cancel(why);  // runs callbacks: not under the lock
}

void connection::client_gone() noexcept { scope_->cancel(worker_.client_gone); }

void connection::complain(std::string_view what) const {
  worker_.server().settings.on_error(name_of(*request_) + ": " + std::string(what));
}

void connection::collect(std::vector<canceler>& all) const {
  if (scope_) all.push_back(scope_->canceler());
}

std::string connection::route_name() const {
  if (!scope_) return {};
  return route_->pattern.empty() ? name_of(*request_) : request_->method() + ' ' + route_->pattern;
}

void connection::describe(std::vector<std::string>& all, clock::time_point now) const {
  if (!scope_) return;
  const auto tenths = std::chrono::duration_cast<std::chrono::milliseconds>(now - began_).count() / 100;
  all.push_back(name_of(*request_) + ", " + std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) +
                " s");
}

/// Runs the handler and sends what it returns.
/// \return whether the connection stays for another request.
asio::awaitable<bool> connection::answer() {
  keep_alive_ = keep_alive_ && parser_.keep_alive();
  auto where = router_access::find(worker_.server().routes, *request_);
  std::optional<response> reply;
  switch (where.what) {
    case routing::kind::found:
      reply = begin(*where.to);
      break;
    case routing::kind::bad_path:
      reply = plain(status::bad_request);
      break;
    case routing::kind::unknown:
      reply = plain(status::not_found);
      break;
    case routing::kind::no_method:
      reply = plain(status::method_not_allowed);
      break;
    case routing::kind::describe:
      reply.emplace(status::no_content);
      break;
  }
  if (!where.allow.empty()) reply->set("Allow", where.allow);
  if (reply) {
    const bool complete = co_await send_response(std::move(*reply), nullptr);
    linger_ = complete && !keep_alive_;
    co_return complete&& keep_alive_;
  }

  const context ctx = *scope_;
  std::string failure;
  worker_.runs(this);
  try {
    auto running = where.to->call(ctx, *request_);
    reply = co_await std::move(running);
  } catch (const std::exception& e) {
    failure = std::string("the handler threw: ") + e.what();
  } catch (...) {
    failure = "the handler threw";
  }
  worker_.runs(nullptr);
  if (!reply) {
    complain(failure);
    reply = plain(status::internal_server_error);
  }
  bool complete = false;
  std::exception_ptr thrown;
  try {
    complete = co_await send_response(std::move(*reply), &ctx);
  } catch (...) {
    thrown = std::current_exception();
  }
  end(complete ? worker_.handler_done : worker_.client_gone);
  if (thrown) std::rethrow_exception(thrown);
  linger_ = complete && !keep_alive_;
  co_return complete&& keep_alive_;
}

// Writing.

/// \param ctx  Of the request, if a handler made the response.
/// \return whether all of it has been sent.
asio::awaitable<bool> connection::send_response(response reply, const context* ctx) {
  if (gone_) co_return false;
  if (ctx != nullptr && ctx->err()) ctx = nullptr;  // what is sent is the answer to that end
  head_options options;
  options.is_head = request_->method() == "HEAD";
  options.http11 = !parser_.header_done() || parser_.http11();
  options.keep_alive = keep_alive_ && !worker_.server().stopping.load(std::memory_order_relaxed);
  output_.clear();
  auto how = append_head(output_, reply, worker_.date(), options);
  if (!how) {
    complain("the handler's response has a status or a field that must not be sent");
    reply = plain(status::internal_server_error);
    how = append_head(output_, reply, worker_.date(), options);
  }
  keep_alive_ = options.keep_alive;
  pending_ = {};
  if (*how == framing::sized) {
    if (reply.body().size() <= copied_body) {
      output_ += reply.body();
    } else {
      pending_[1] = reply.body();
    }
  }
  pending_[0] = output_;
  const sent first = try_send();
  if (first == sent::failed) co_return false;
  if (first == sent::blocked) {
    const bool rest = co_await finish_send(ctx, patience::response);
    if (!rest) co_return false;
  }
  if (*how != framing::chunked && *how != framing::until_close) co_return true;
  const bool streamed = co_await send_stream(reply.source(), *how);
  co_return streamed;
}

asio::awaitable<bool> connection::send_stream(body_source source, framing how) {
  chunked_ = how == framing::chunked;
  broken_ = false;
  std::string failure;
  const auto sink = std::make_shared<response_sink>();
  sink->open = this;
  worker_.runs(this);
  try {
    auto running = source(*scope_, body_writer(sink));
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
    complain(failure);
    broken_ = true;
  }
  if (sink->writing != 0) abort_write();
  if (broken_ || gone_ ||
      scope_->err()) {  // a source that stops because its context has ended may not be done
    // Without a last chunk the client sees that something is missing; where closing is the end, only a reset
    // says so.
    close(!chunked_);
    co_return false;
  }
  if (!chunked_) co_return true;
  pending_ = {"0\r\n\r\n"};
  const sent last = try_send();
  if (last == sent::all) co_return true;
  if (last == sent::failed) co_return false;
  const bool rest = co_await finish_send(nullptr, patience::response);
  co_return rest;
}

asio::awaitable<result<>> response_sink::write(context ctx, std::string bytes) {
  const auto self = shared_from_this();  // the writer may be gone before the write is over
  if (open == nullptr) {
    co_return error(std::make_error_code(std::errc::operation_not_permitted),
                    "sending the body of the response (it is over)");
  }
  ++writing;
  auto written = open->write(std::move(ctx), std::move(bytes));
  auto outcome = co_await std::move(written);
  --writing;
  co_return outcome;
}

asio::awaitable<result<>> connection::write(context ctx, std::string bytes) {
  constexpr auto doing = "sending the body of the response";
  if (ctx.err()) {
    broken_ = true;
    co_return std::unexpected(error::ended(ctx, doing));
  }
  if (gone_ || broken_) co_return std::unexpected(error(make_error_code(errc::connection_lost), doing));
  if (bytes.empty()) co_return result<>();  // as a chunk it would be the last one
  if (chunked_) {
    const auto end = std::to_chars(chunk_size_.data(), chunk_size_.data() + 16, bytes.size(), 16).ptr;
    end[0] = '\r';
    end[1] = '\n';
    pending_ = {std::string_view(chunk_size_.data(), static_cast<std::size_t>(end + 2 - chunk_size_.data())),
                bytes, "\r\n"};
  } else {
    pending_ = {bytes};
  }
  sent now = try_send();
  if (now == sent::blocked) {
    const bool rest = co_await finish_send(&ctx, patience::stream);
    now = rest ? sent::all : sent::failed;
  }
  if (now == sent::all) co_return result<>();
  broken_ = true;
  if (scope_ && !ctx.err()) client_gone();
  if (ctx.err()) co_return std::unexpected(error::ended(ctx, doing));
  co_return std::unexpected(error(make_error_code(errc::connection_lost), doing));
}

connection::sent connection::try_send() {
  for (;;) {
    std::array<iovec, 3> parts;
    std::size_t count = 0;
    for (const auto part : pending_) {
      // sendmsg does not write to what it sends
      if (!part.empty()) parts[count++] = {const_cast<char*>(part.data()), part.size()};
    }
    if (count == 0) return sent::all;
    if (gone_ || socket_ < 0) return sent::failed;
    ssize_t taken = 0;
    if (count == 1) {
      taken = ::send(socket_, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL);
    } else {
      msghdr message{};
      message.msg_iov = parts.data();
      message.msg_iovlen = count;
      taken = ::sendmsg(socket_, &message, MSG_NOSIGNAL);
    }
    if (taken < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return sent::blocked;
      if (errno == EINTR) continue;
      gone_ = true;
      if (scope_) client_gone();
      return sent::failed;
    }
    auto left = static_cast<std::size_t>(taken);
    for (auto& part : pending_) {
      const auto now = std::min(left, part.size());
      part.remove_prefix(now);
      left -= now;
    }
  }
}

/// Waits until the client has taken what is pending.
/// \param ctx  Ends it; null: the client has as long as it takes some of it.
asio::awaitable<bool> connection::finish_send(const context* ctx, patience how) {
  struct aborter {
    std::weak_ptr<connection> self;
    unsigned number;
    patience how;

    void operator()() const noexcept {
      auto c = self.lock();
      if (!c) return;
      asio::post(c->worker_.io(), [c, number = number, how = how] {
        const bool half = c->half_closed_ && !c->gone_ && how == patience::response;
        if (c->write_number_ == number && !half) c->abort_write();
      });
    }
  };
  const unsigned number = ++write_number_;
  aborted_ = false;
  std::optional<on_done<aborter>> ending;
  if (ctx != nullptr) ending.emplace(*ctx, aborter{weak_from_this(), number, how});
  const auto& settings = worker_.server().settings;
  bool done = false;
  std::size_t before = 0;
  for (;;) {
    std::size_t left = 0;
    for (const auto part : pending_) left += part.size();
    if (left != before)
      expires_ = clock::now() + settings.body_timeout;  // a client that takes some may go on
    before = left;
    if (given_up_ || aborted_ || gone_) break;
    co_await suspend(waiting::writing);
    if (given_up_ || aborted_ || timed_out_ || gone_) break;
    const sent now = try_send();
    done = now == sent::all;
    if (now != sent::blocked) break;
  }
  ++write_number_;
  co_return done;
}

void connection::abort_write() {
  aborted_ = true;
  if (waiting_ == waiting::writing) wake();
}

}  // namespace curfew::http
