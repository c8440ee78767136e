#include "http/client/body_stream.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <curfew/http/errc.hpp>
#include <utility>

namespace curfew::http {

namespace {

constexpr std::size_t read_at_once = 128 * 1024;

}  // namespace

/// A read that has found nothing. Its handler owns it.
class body_stream::waiting_read final : public std::enable_shared_from_this<waiting_read> {
 public:
  waiting_read(std::weak_ptr<body_stream> of, context ctx, std::shared_ptr<loop> in,
               piece_completion complete)
      : of_(std::move(of)),
        ctx_(std::move(ctx)),
        in_(std::move(in)),
        complete_(std::move(complete)) {
    in_->hold();
  }
  waiting_read(const waiting_read&) = delete;
  waiting_read& operator=(const waiting_read&) = delete;
  ~waiting_read() { in_->release(); }

  /// Before the body knows of it: the context may end at once.
  void watch() { watch_.emplace(ctx_, ends{weak_from_this()}); }
  /// For the one that has taken it out of the body, without a lock.
  void finish(piece value) { complete_->complete(std::move(value), false); }

  [[nodiscard]] const context& ctx() const noexcept { return ctx_; }

  bool ended = false;  // guarded by the body's mutex

 private:
  struct ends {
    std::weak_ptr<waiting_read> self;
    void operator()() const noexcept {
      const auto read = self.lock();
      const auto of = read ? read->of_.lock() : nullptr;
      if (!of) return;
      {
        const std::lock_guard guard(of->mutex_);
        read->ended = true;
        if (of->reader_.lock() != read) return;  // not in its place yet, or not any more
        of->reader_.reset();
      }
      read->finish(error::ended(read->ctx_, of->doing_));
    }
  };

  const std::weak_ptr<body_stream> of_;
  const context ctx_;
  const std::shared_ptr<loop> in_;
  const piece_completion complete_;
  std::optional<on_done<ends>> watch_;
};

/// Holds the mutex. The task of a body that is over ends after that: what listens is called without a lock.
class body_stream::access {
 public:
  explicit access(body_stream& to) : to_(to), lock_(to.mutex_) {}
  access(const access&) = delete;
  access& operator=(const access&) = delete;
  ~access() {
    detail::open_task ended;
    if (to_.over_) ended = std::move(to_.shown_);
    lock_.unlock();
  }

 private:
  body_stream& to_;
  std::unique_lock<std::mutex> lock_;
};

std::shared_ptr<body_stream> body_stream::make(std::shared_ptr<client_state> of, const context& ctx,
                                               std::unique_ptr<client_exchange> exchange, std::string doing,
                                               detail::open_task shown) {
  if (shown.ref()) [[unlikely]]
    detail::task_listener()->wait(shown.ref(), "reading the body", 0, nullptr);
  auto made = std::make_shared<body_stream>(std::move(of), ctx, std::move(exchange), std::move(doing),
                                            std::move(shown));
  {
    const access locked(*made);
    made->exchange_->lease.connection->belongs_to(made);
    made->understand({});
  }
  made->watch_.emplace(ctx, on_end{made});
  if (!made->client->enlist(*made)) made->client_gone();
  return made;
}

body_stream::body_stream(std::shared_ptr<client_state> of, context ctx,
                         std::unique_ptr<client_exchange> exchange, std::string doing,
                         detail::open_task shown)
    : transfer(std::move(of)),
      ctx_(std::move(ctx)),
      doing_(std::move(doing)),
      exchange_(std::move(exchange)),
      shown_(std::move(shown)) {}

body_stream::~body_stream() { client->delist(*this); }

void body_stream::on_end::operator()() const noexcept {
  if (const auto body = of.lock()) body->end_early(error::ended(body->ctx_, body->doing_));
}

void body_stream::client_gone() noexcept {
  end_early(error(make_error_code(curfew::errc::canceled), doing_ + " (the client was destroyed)"));
}

void body_stream::drop() noexcept {
  end_early(error(make_error_code(curfew::errc::canceled), doing_ + " (the download was given up)"));
}

/// Something that waits for the body has ended. A body that is complete stays so.
void body_stream::end_early(error why) noexcept {
  std::shared_ptr<waiting_read> read;
  {
    const access locked(*this);
    if (over_) return;
    ready_.clear();
    end(why);
    read = std::exchange(reader_, {}).lock();
  }
  if (read) read->finish(std::move(why));
}

/// Nothing more comes.
void body_stream::end(std::optional<error> why) noexcept {
  over_ = true;
  error_ = std::move(why);
  if (!error_ && !exchange_->cut_off && exchange_->session.keeps_alive()) {
    exchange_->lease.give_back();
  } else {
    exchange_->lease = {};
  }
}

void body_stream::understand(std::string_view bytes) {
  using event = client_session::event;
  client_session& session = exchange_->session;
  bytes = exchange_->with_rest(bytes);
  for (;;) {
    switch (session.receive(bytes)) {
      case event::body:
        ready_ += session.piece();
        break;
      case event::need_more:
        return exchange_->keep(bytes);
      case event::done:
        return end(std::nullopt);
      case event::failed:
        return end(error(session.failure(),
                         doing_ + (session.detail().empty() ? std::string()
                                                            : " (" + std::string(session.detail()) + ')')));
      case event::interim:
      case event::head:
        break;  // the head was complete before
    }
  }
}

/// The next piece or the end, if there is one yet.
std::optional<piece> body_stream::next() {
  for (;;) {
    if (!ready_.empty()) return std::exchange(ready_, {});
    if (error_) return piece(*error_);
    if (over_) return piece(std::nullopt);
    std::array<char, read_at_once> into;
    client_connection& from = *exchange_->lease.connection;
    const ssize_t count = from.read(into);
    if (count > 0) {
      understand({into.data(), static_cast<std::size_t>(count)});
    } else if (count == 0) {
      if (exchange_->session.receive_end() == client_session::event::done) {
        end(std::nullopt);
      } else {
        end(error(exchange_->session.failure(), doing_));
      }
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return std::nullopt;
    } else if (errno == EPROTO && from.tls() != nullptr) {
      end(error(make_error_code(errc::tls_failure), doing_ + " (" + from.tls()->failure() + ')'));
    } else {
      end(error(make_error_code(errc::truncated_body), doing_));
    }
  }
}

// The reader's side.

void body_stream::start_read(context reader_ctx, std::shared_ptr<loop> in, piece_completion complete) {
  if (reader_ctx.err()) return complete->complete(error::ended(reader_ctx, doing_), false);
  std::optional<piece> value;
  {
    const access locked(*this);
    if (!reader_.expired()) {
      value = error(std::make_error_code(std::errc::operation_in_progress), doing_);
    } else {
      value = next();
    }
  }
  if (value) return complete->complete(*std::move(value), false);
  const auto read = std::make_shared<waiting_read>(weak_from_this(), std::move(reader_ctx), in, complete);
  complete->keep(read);
  read->watch();
  {
    const access locked(*this);
    if (read->ended) {
      value = error::ended(read->ctx(), doing_);
    } else if (!reader_.expired()) {
      value = error(std::make_error_code(std::errc::operation_in_progress), doing_);
    } else if (over_ || enter(in)) {
      value = next();  // what has come meanwhile
    } else {
      value = error(std::error_code(errno, std::generic_category()), doing_);
    }
    if (!value) reader_ = read;
  }
  if (value) read->finish(*std::move(value));
}

/// Has the loop watch the connection.
/// \return false, with errno, if the system refuses.
bool body_stream::enter(const std::shared_ptr<loop>& in) {
  auto& connection = exchange_->lease.connection;
  if (connection->in() == in) return true;
  auto moved = connection->move_to(in, weak_from_this());
  if (!moved) {
    const int why = errno;
    end(error(std::error_code(why, std::generic_category()), doing_));
    errno = why;
    return false;
  }
  connection = std::move(moved);
  return true;
}

void body_stream::on_socket(client_connection& c, std::uint32_t /*events*/) {
  std::shared_ptr<waiting_read> read;
  std::optional<piece> value;
  {
    const access locked(*this);
    if (over_ || exchange_->lease.connection.get() != &c) return;
    read = reader_.lock();
    if (!read) return;  // the next read looks by itself
    value = next();
    if (!value) return;
    reader_.reset();
  }
  read->finish(*std::move(value));
}

}  // namespace curfew::http
