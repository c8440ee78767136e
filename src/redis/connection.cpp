#include "redis/connection.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <exception>
#include <system_error>
#include <tuple>
#include <utility>

namespace curfew::redis {

namespace asio = boost::asio;

namespace {

constexpr std::size_t sent_at_once = std::size_t{256} * 1024;
constexpr std::size_t kept_capacity = std::size_t{1024} * 1024;

/// Instead of a turn.
constexpr const void* posted = &sent_at_once;

constexpr const char* unasked = "an answer that nothing has asked for";
constexpr const char* closed_by_redis = "Redis has closed the connection";

bool is_message(const reply& what) {
  const auto& items = what.items();
  return items.size() == 3 && items[0].text() == "message" && items[1].kind() == reply::kind::string &&
         items[2].kind() == reply::kind::string;
}

error error_of(const operation& op, const error& why, outcome became) {
  return {why.code(), op.doing(), why.text(), became, why.cause()};
}

}  // namespace

std::string operation::doing() const {
  const std::string_view first = bytes;
  std::string text = detail::shown(first);
  if (expected > 1) text += " and " + std::to_string(expected - 1) + " more";
  return text;
}

void operation::on_end::operator()() const noexcept { of->on->abandon(*of); }

/// While completions are called in a thread of a loop: which of its connections have something to send behind them. What
/// those that go on have sent until then goes together, and takes no turn of the loop.
class connection::turn {
 public:
  explicit turn(const asio::execution_context& loop) noexcept
      : loop_(loop),
        outer_(std::exchange(current, this)) {}
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  ~turn() { current = outer_; }

  /// That of this thread; null: it has none of this loop.
  static turn* of(const asio::execution_context& loop) noexcept {
    return current != nullptr && &current->loop_ == &loop ? current : nullptr;
  }
  void add(std::shared_ptr<connection> one) { due_.push_back(std::move(one)); }
  /// Null: no more.
  std::shared_ptr<connection> next() noexcept {
    if (due_.empty()) return nullptr;
    auto one = std::move(due_.back());
    due_.pop_back();
    return one;
  }

 private:
  static thread_local turn* current;

  const asio::execution_context& loop_;
  std::vector<std::shared_ptr<connection>> due_;
  turn* const outer_;
};

thread_local connection::turn* connection::turn::current = nullptr;

connection::connection(asio::execution_context& loop, std::shared_ptr<const settings> with,
                       std::shared_ptr<connector> by, use what_for)
    : loop_(loop),
      with_(std::move(with)),
      connector_(std::move(by)),
      what_for_(what_for),
      socket_(loop) {}

// What callers do.

void connection::submit(const std::shared_ptr<operation>& op, const asio::any_io_executor* soon) {
  if (!enqueue(op, soon != nullptr ? sends::soon : sends::now, reads::loop)) return;
  try {
    if (auto* const mine = turn::of(loop_); mine != nullptr) return mine->add(shared_from_this());
    asio::post(*soon, [self = shared_from_this()] { self->flush_now(); });
  } catch (const std::bad_alloc&) {
    flush_now();
  }
}

void connection::run(const std::shared_ptr<operation>& op) {
  enqueue(op, sends::now, reads::caller);
  read_until_done(*op);
}

bool connection::enqueue(const std::shared_ptr<operation>& op, sends when, reads who) {
  op->on = shared_from_this();
  op->ends.emplace(op->ctx, operation::on_end{op.get()});  // may run at once
  aftermath after;
  bool is_unsent = false;
  {
    const std::lock_guard guard(mutex_);
    if (op->state == operation::at::done) return false;
    op->state = operation::at::queued;
    ++live_;
    if (closed_by_) {
      finish(op, error_of(*op, *closed_by_, outcome::did_not_happen), after);
    } else {
      queue_.push_back(op);
      if (state_ == at::open) {
        if (is_silent()) lose(errc::connection_lost, "Redis does not answer", after);
        if (state_ == at::open) {
          if (const char* const why = flaw(); why != nullptr) lose(errc::connection_lost, why, after);
        }
      }
      if (state_ == at::idle) want_connection(after);
      if (state_ == at::open) {
        if (when == sends::soon) {
          // Another thread's turn may take long.
          const void* const mine = turn::of(loop_);
          const void* const by = mine != nullptr ? mine : posted;
          is_unsent = flushed_by_ != posted && flushed_by_ != by;
          if (is_unsent) flushed_by_ = by;
        } else {
          send_queue(after, who);
        }
      }
    }
    count();
  }
  conclude(after, false);
  return is_unsent;
}

void connection::flush_now() {
  aftermath after;
  {
    const std::lock_guard guard(mutex_);
    flushed_by_ = nullptr;
    if (state_ == at::open) send_queue(after);
    count();
  }
  conclude(after, false);
}

void connection::abandon(operation& op) noexcept {
  std::shared_ptr<answers_completion> waiting;
  auto became = outcome::did_not_happen;
  {
    const std::lock_guard guard(mutex_);
    if (op.state == operation::at::done) return;
    if (op.state != operation::at::fresh) --live_;
    if (op.state == operation::at::sent) became = outcome::unknown;
    op.state = operation::at::done;
    waiting = std::move(op.waiting);
    // Without callers its loop has no work here. The next one reads what has come until then.
    if (thread_reads_) {
      waker_->set();
    } else if (live_ == 0 && is_reading_ && what_for_ != use::messages) {
      socket_.cancel();
    }
  }
  if (waiting) waiting->complete(error(op.ctx.err(), op.doing(), {}, became, op.ctx.cause()), false);
}

// Bytes.

void connection::send_queue(aftermath& after, reads who) {
  while (state_ == at::open && !is_writing_ && !queue_.empty()) {
    if (in_flight_.empty()) heard_ = clock::now();
    while (!queue_.empty() && out_.size() < sent_at_once) {
      auto op = std::move(queue_.front());
      queue_.pop_front();
      if (op->state == operation::at::done) {
        after.gone.push_back(std::move(op));
        continue;
      }
      op->state = operation::at::sent;
      out_ += op->bytes;
      in_flight_.push_back(std::move(op));
    }
    write(after);
  }
  if (who == reads::loop) read(after);
}

void connection::write(aftermath& after) {
  while (written_ < out_.size() || (tls_ && tls_->has_output())) {
    const auto count = send_some(std::string_view(out_).substr(written_));
    if (count >= 0) {
      written_ += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (auto* const watched = watch(after); watched != nullptr) {
        is_writing_ = true;
        watched->async_wait(asio::socket_base::wait_write,
                            [self = shared_from_this(), number = socket_number_](const auto& ec) {
                              self->on_writable(ec, number);
                            });
      }
      return;
    } else if (errno != EINTR) {
      return lose(errc::connection_lost, why_broken(), after);
    }
  }
  out_.clear();
  written_ = 0;
  if (out_.capacity() > kept_capacity) out_.shrink_to_fit();
}

void connection::on_writable(const boost::system::error_code& ec, std::uint64_t number) {
  aftermath after;
  {
    const std::lock_guard guard(mutex_);
    if (number != socket_number_) return;
    is_writing_ = false;
    if (ec && ec != asio::error::operation_aborted) {
      lose(errc::connection_lost, ec.message(), after);
    } else {
      write(after);
      send_queue(after);
    }
    count();
  }
  conclude(after, true);
}

void connection::read(aftermath& after) {
  if (is_reading_ || state_ != at::open || (live_ == 0 && what_for_ != use::messages)) return;
  auto* const watched = watch(after);
  if (watched == nullptr) return;
  is_reading_ = true;
  if (tls_) {
    return watched->async_wait(asio::socket_base::wait_read,
                               [self = shared_from_this(), number = socket_number_](const auto& ec) {
                                 self->on_readable(ec, number);
                               });
  }
  watched->async_read_some(asio::buffer(in_),
                           [self = shared_from_this(), number = socket_number_](
                               const auto& ec, std::size_t count) { self->on_read(ec, count, number); });
}

loop_socket::watched_type* connection::watch(aftermath& after) {
  boost::system::error_code why;
  auto* const watched = socket_.watch(why);
  if (watched == nullptr) {  // nor would it watch another one
    fail(queue_, error(errc::connection_failed, {}, why.message()), outcome::did_not_happen, after);
    lose(errc::connection_lost, why.message(), after);
  }
  return watched;
}

void connection::on_read(const boost::system::error_code& ec, std::size_t count, std::uint64_t number) {
  aftermath after;
  {
    const std::lock_guard guard(mutex_);
    if (number != socket_number_) return;
    is_reading_ = false;
    if (!ec) {
      heard_ = clock::now();
      reader_->feed(std::span(in_).first(count));
      take_answers(after);
    } else if (ec != asio::error::operation_aborted) {
      lose(errc::connection_lost, ec == asio::error::eof ? closed_by_redis : ec.message(), after);
    }
    read(after);
    this->count();
  }
  conclude(after, true);
}

/// Over TLS.
void connection::on_readable(const boost::system::error_code& ec, std::uint64_t number) {
  aftermath after;
  {
    const std::lock_guard guard(mutex_);
    if (number != socket_number_) return;
    is_reading_ = false;
    if (!ec) {
      read_here(after);
    } else if (ec != asio::error::operation_aborted) {
      lose(errc::connection_lost, ec.message(), after);
    }
    read(after);
    count();
  }
  conclude(after, true);
}

void connection::read_until_done(const operation& op) {
  std::unique_lock lock(mutex_);
  if (op.state == operation::at::done) return;
  if (is_reading_ || state_ != at::open) {
    aftermath after;
    read(after);  // the loop does, or will when it is connected
    lock.unlock();
    return conclude(after, false);
  }
  if (!waker_) waker_.emplace();
  if (!is_writing_) socket_.unwatch();
  is_reading_ = true;
  thread_reads_ = true;
  const auto number = socket_number_;
  std::array<pollfd, 2> either{pollfd{socket_.fd(), POLLIN, 0}, pollfd{waker_->fd(), POLLIN, 0}};
  for (;;) {
    lock.unlock();
    ::poll(either.data(), either.size(), -1);
    lock.lock();
    if (number != socket_number_) return;  // lost: what is said here is of another socket
    if (either[1].revents != 0) waker_->clear();
    aftermath after;
    read_here(after);
    const bool is_over = op.state == operation::at::done;  // or its context has ended
    if (is_over && number == socket_number_) stop_reading_here(after);
    count();
    lock.unlock();
    conclude(after, false);
    if (is_over) return;
    lock.lock();
    if (number != socket_number_) return;
  }
}

/// The loop goes on, if something waits.
void connection::stop_reading_here(aftermath& after) {
  thread_reads_ = false;
  is_reading_ = false;
  read(after);
}

/// Takes what has come: over TLS all of it, since what is decrypted and not read wakes nobody.
void connection::read_here(aftermath& after) {
  bool has_more = true;
  while (has_more) {
    const auto got = receive_some();
    if (got > 0) {
      heard_ = clock::now();
      reader_->feed(std::span(in_).first(static_cast<std::size_t>(got)));
      take_answers(after);
    } else if (got == 0) {
      lose(errc::connection_lost, closed_by_redis, after);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
      lose(errc::connection_lost, why_broken(), after);
    }
    has_more = got > 0 && tls_;  // it is gone where the connection was lost
  }
  if (tls_ && tls_->has_output() && !is_writing_) write(after);  // the answer to new keys
}

ssize_t connection::send_some(std::string_view bytes) noexcept {
  if (!tls_) return ::send(socket_.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  std::array parts = {bytes};
  return tls_->write(parts);
}

ssize_t connection::receive_some() noexcept {
  return tls_ ? tls_->read(in_) : ::recv(socket_.fd(), in_.data(), in_.size(), MSG_DONTWAIT);
}

std::string connection::why_broken() const {
  const int code = errno;
  return tls_ && !tls_->failure().empty() ? "TLS: " + tls_->failure() : std::generic_category().message(code);
}

void connection::take_answers(aftermath& after) {
  while (state_ == at::open) {
    auto next = reader_->take();
    if (!next) return lose(next.error().code, std::move(next.error().text), after);
    if (!*next) {
      // The beginning of an answer would be taken for that of the next command.
      if (in_flight_.empty() && what_for_ != use::messages && reader_->is_within())
        lose(errc::protocol, unasked, after);
      return;
    }
    take(std::move(**next), after);
  }
}

void connection::take(reply&& one, aftermath& after) {
  if (what_for_ == use::messages && is_message(one)) {
    after.messages.push_back(std::move(one));
    return;
  }
  if (in_flight_.empty()) {
    auto text = one.is_error() ? std::move(one.text()) : std::string(unasked);
    return lose(errc::protocol, std::move(text), after);
  }
  operation& op = *in_flight_.front();
  op.got.push_back(std::move(one));
  if (op.got.size() < op.expected) return;
  const auto whole = std::move(in_flight_.front());
  in_flight_.pop_front();
  if (whole->state == operation::at::done) {
    after.gone.push_back(whole);
  } else {
    finish(whole, std::move(whole->got), after);
  }
}

const char* connection::flaw() {
  if (is_reading_ || flushed_by_ != nullptr) return nullptr;
  if (tls_) {  // a session's ticket or other keys are no answer
    if (!in_flight_.empty()) return nullptr;
    const auto got = receive_some();
    if (got > 0) return unasked;
    return got == 0 || errno != EAGAIN ? closed_by_redis : nullptr;
  }
  char next = 0;
  const auto count = ::recv(socket_.fd(), &next, 1, MSG_PEEK | MSG_DONTWAIT);
  if (count > 0) return in_flight_.empty() ? unasked : nullptr;
  const bool is_gone = count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
  return is_gone ? closed_by_redis : nullptr;
}

bool connection::is_silent() const {
  return !in_flight_.empty() && in_flight_.front()->state == operation::at::done &&
         clock::now() - heard_ > with_->options.silence();
}

// Its life.

void connection::want_connection(aftermath& after) {
  state_ = at::connecting;
  after.connect = true;
  after.not_before = next_attempt_;
}

void connection::connected(int socket, std::unique_ptr<tls::engine> encrypts, std::int64_t id) noexcept {
  aftermath after;
  {
    const std::lock_guard guard(mutex_);
    if (state_ != at::connecting) {
      encrypts.reset();
      ::close(socket);
      return;
    }
    socket_.open(socket);
    ++socket_number_;
    state_ = at::open;
    tls_ = std::move(encrypts);
    id_ = id;
    failures_ = 0;
    next_attempt_ = {};
    reader_.emplace(with_->options.max_answer());
    send_queue(after);
    count();
  }
  conclude(after, false);
}

void connection::failed(const error& why) noexcept {
  aftermath after;
  {
    const std::lock_guard guard(mutex_);
    if (state_ != at::connecting) return;
    state_ = at::idle;
    const auto& options = with_->options;
    auto wait = options.first_back_off();
    for (unsigned i = 0; i < failures_ && wait < options.most_back_off(); ++i) wait *= 2;
    ++failures_;
    next_attempt_ = clock::now() + std::min(wait, options.most_back_off());
    fail(queue_, why, outcome::did_not_happen, after);
    if (what_for_ == use::messages) {
      closed_by_ = why;
      after.lost = why;
    }
    count();
  }
  conclude(after, false);
}

bool connection::is_wanted() noexcept {
  const std::lock_guard guard(mutex_);
  if (state_ != at::connecting) return false;
  if (live_ != 0) return true;
  state_ = at::idle;
  return false;
}

void connection::let_go() noexcept {
  if (std::exchange(thread_reads_, false)) waker_->set();
  if (tls_ && tls_->is_open()) std::ignore = tls_->finish();
  tls_.reset();
  socket_.close();
  ++socket_number_;
  id_ = 0;
  is_reading_ = false;
  is_writing_ = false;
  out_.clear();
  written_ = 0;
  reader_.reset();
}

void connection::lose(errc code, std::string text, aftermath& after) {
  let_go();
  state_ = at::idle;
  const error why(code, {}, std::move(text));
  fail(in_flight_, why, outcome::unknown, after);
  if (what_for_ == use::messages) {
    closed_by_ = error(code, with_->to.shown, why.text());
    after.lost = closed_by_;
    fail(queue_, why, outcome::did_not_happen, after);
  } else if (live_ != 0) {
    want_connection(after);
  }
}

void connection::close(const error& why) noexcept {
  aftermath after;
  {
    const std::lock_guard guard(mutex_);
    if (state_ == at::closed) return;
    let_go();
    state_ = at::closed;
    closed_by_ = why;
    after.lost = why;
    fail(in_flight_, why, outcome::unknown, after);
    fail(queue_, why, outcome::did_not_happen, after);
    count();
  }
  conclude(after, false);
}

void connection::drop() noexcept {
  operations gone;
  {
    const std::lock_guard guard(mutex_);
    let_go();
    state_ = at::closed;
    closed_by_ = error(make_error_code(curfew::errc::canceled), {}, "the event loop has gone");
    gone.swap(in_flight_);
    std::ranges::move(queue_, std::back_inserter(gone));
    queue_.clear();
    for (const auto& each : gone) each->state = operation::at::done;
    live_ = 0;
    count();
  }
}

bool connection::is_open() noexcept {
  const std::lock_guard guard(mutex_);
  return state_ == at::open;
}

bool connection::was_sent(const operation& op) noexcept {
  const std::lock_guard guard(mutex_);
  return op.state == operation::at::sent;
}

std::int64_t connection::id() noexcept {
  const std::lock_guard guard(mutex_);
  return id_;
}

// Completions.

void connection::fail(operations& all, const error& why, outcome became, aftermath& after) {
  operations failed;
  failed.swap(all);
  for (auto& op : failed) {
    if (op->state == operation::at::done) {
      after.gone.push_back(std::move(op));
    } else {
      finish(op, error_of(*op, why, became), after);
    }
  }
}

void connection::finish(const std::shared_ptr<operation>& op, answers got, aftermath& after) {
  op->state = operation::at::done;
  --live_;
  if (after.done.empty()) after.done.reserve(1 + in_flight_.size());
  after.done.push_back({op, std::move(got)});
}

std::exception_ptr connection::complete(std::vector<finished>& all, bool here) {
  std::exception_ptr thrown;
  for (auto& each : all) {
    each.op->ends.reset();
    const auto waiting = std::move(each.op->waiting);
    if (!waiting) continue;
    try {
      waiting->complete(std::move(each.got), here && each.op->is_of_loop);
    } catch (...) {
      if (!thrown) thrown = std::current_exception();  // a handler's: the others are completed all the same
    }
  }
  return thrown;
}

void connection::conclude(aftermath& after, bool here) {
  std::exception_ptr thrown;
  if (here && !after.done.empty()) {
    turn of_the_loop(loop_);
    thrown = complete(after.done, here);
    while (const auto due = of_the_loop.next()) {
      try {
        due->flush_now();
      } catch (...) {
        if (!thrown) thrown = std::current_exception();
      }
    }
  } else {
    thrown = complete(after.done, here);
  }
  for (auto& each : after.messages) on_message_(std::move(each));
  if (after.lost && on_lost_) on_lost_(*after.lost);
  if (after.connect) connector_->connect(shared_from_this(), after.not_before);
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace curfew::redis
