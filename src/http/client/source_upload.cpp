#include "http/client/source_upload.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/sync/channel.hpp>
#include <exception>
#include <tuple>
#include <utility>

#include "http/message/body_sink.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

constexpr auto writing = "sending the body of the request";

}  // namespace

/// What the writers of one run write to.
class source_upload::run final : public body_writer::sink, public std::enable_shared_from_this<run> {
 public:
  explicit run(const std::shared_ptr<source_upload>& of) noexcept : of_(of) {}

  asio::awaitable<result<>> write(context ctx, std::string bytes) override {
    const auto self = shared_from_this();  // the writer may be gone before the write is over
    const auto of = of_.lock();
    if (!of) co_return over();
    if (ctx.err()) {
      of->give_up(*this, ctx);
      co_return error::ended(ctx, writing);
    }
    const bool nothing = bytes.empty();  // as a chunk it would be the last one
    if (auto refused = of->put(*this, bytes)) {
      of->tell();
      co_return *std::move(refused);
    }
    if (nothing) co_return result<>();
    of->tell();
    auto waiting = async_receive(ctx, taken_);
    auto was_taken = co_await std::move(waiting);
    if (!was_taken) {
      of->give_up(*this, ctx);
      co_return was_taken.error();
    }
    if (!*was_taken) co_return error(make_error_code(errc::connection_lost), writing);
    co_return result<>();
  }

  void was_taken() noexcept { std::ignore = taken_.try_send(true); }
  void close() noexcept { taken_.close(); }

  static error over() {
    return error(std::make_error_code(std::errc::operation_not_permitted),
                 std::string(writing) + " (it is over)");
  }

 private:
  const std::weak_ptr<source_upload> of_;
  channel<bool> taken_{1};
};

/// Says how a run has ended, also where its coroutine is destroyed with its io_context.
class source_upload::ending {
 public:
  ending(std::shared_ptr<source_upload> of, std::shared_ptr<run> from) noexcept
      : of_(std::move(of)),
        from_(std::move(from)) {}
  ending(const ending&) = delete;
  ending& operator=(const ending&) = delete;
  ~ending() { of_->returned(*from_, why_, std::move(detail_), in_its_thread_); }

  void is(std::error_code why, std::string detail) {
    why_ = why;
    detail_ = std::move(detail);
    in_its_thread_ = true;
  }

 private:
  const std::shared_ptr<source_upload> of_;
  const std::shared_ptr<run> from_;
  std::error_code why_ = make_error_code(curfew::errc::canceled);
  std::string detail_ = "the source of the body was destroyed";
  bool in_its_thread_ = false;
};

std::shared_ptr<source_upload> source_upload::make(std::shared_ptr<const request_access::streamed_body> what,
                                                   context ctx, asio::any_io_executor runs,
                                                   std::optional<std::uint64_t> length) {
  auto made = std::make_shared<source_upload>(std::move(what), std::move(ctx), std::move(runs), length);
  made->starter_ = made->make_starter();
  return made;
}

source_upload::source_upload(std::shared_ptr<const request_access::streamed_body> what, context ctx,
                             asio::any_io_executor runs, std::optional<std::uint64_t> length)
    : what_(std::move(what)),
      ctx_(std::move(ctx)),
      runs_(std::move(runs)),
      length_(length) {}

source_upload::~source_upload() {
  if (starter_) starter_->complete(false, false);
}

source_upload::starter source_upload::make_starter() {
  auto handler = asio::bind_executor(runs_, [of = weak_from_this()](bool go) {
    const auto self = go ? of.lock() : nullptr;
    if (self) self->begin();
  });
  return detail::local_handler<decltype(handler), bool>::make(std::move(handler), ctx_);
}

void source_upload::begin() {
  auto scope = with_cancel(ctx_);
  const context ctx = scope.ctx();
  auto ends = scope.canceler();
  auto to = std::make_shared<run>(shared_from_this());
  {
    const std::lock_guard guard(mutex_);
    if (at_ != at::starting) return;
    at_ = at::running;
    run_ = to;
    scope_.emplace(std::move(scope));
    ends_ = std::move(ends);
  }
  asio::co_spawn(runs_, carry_out(shared_from_this(), std::move(to), ctx), asio::detached);
}

asio::awaitable<void> source_upload::carry_out(std::shared_ptr<source_upload> self, std::shared_ptr<run> to,
                                               context ctx) {
  ending at_end(self, to);
  constexpr auto threw = "the source of the body threw: ";
  try {
    auto running = self->what_->source(ctx, body_writer(to));
    co_await std::move(running);
    at_end.is({}, {});
  } catch (const std::system_error& e) {
    at_end.is(e.code(), std::string(threw) + e.what());
  } catch (const std::exception& e) {
    at_end.is(std::make_error_code(std::errc::io_error), std::string(threw) + e.what());
  } catch (...) {
    at_end.is(std::make_error_code(std::errc::io_error), "the source of the body threw");
  }
}

void source_upload::returned(run& from, std::error_code why, std::string detail,
                             bool in_its_thread) noexcept {
  std::optional<cancel_scope> scope;
  std::function<void()> then;
  std::shared_ptr<run> it;
  starter next;
  if (in_its_thread && what_->again == repeatable::yes) next = make_starter();
  {
    const std::lock_guard guard(mutex_);
    scope.swap(scope_);
    it.swap(run_);
    starter_ = std::move(next);
    to_be_told_ = false;
    const bool leaving = at_ == at::leaving;
    at_ = leaving && !stopped_ ? at::idle : at::returned;
    if (leaving || stopped_) {
      // nothing of it is needed
    } else if (why) {
      fail(why, std::move(detail));
    } else if (scope->err()) {
      fail(scope->err(), "the source of the body has stopped with its context");  // it may not be done
    } else if (taken_ != pending_.size()) {
      fail(std::make_error_code(std::errc::invalid_argument),
           "the source of the body returned while a part was being written");
    } else if (length_ && written_ != *length_) {
      fail(std::make_error_code(std::errc::message_size),
           "the source of the body gave " + std::to_string(written_) + " bytes, not the " +
               std::to_string(*length_) + " of Content-Length");
    }
    then.swap(then_);
  }
  from.close();
  scope.reset();
  tell();
  if (then) then();
}

upload::state source_upload::look(std::string_view& bytes) {
  const std::lock_guard guard(mutex_);
  if (stopped_) return state::waits;
  if (failure_) return state::failed;
  if (taken_ != pending_.size()) {
    bytes = std::string_view(pending_).substr(taken_);
    return state::bytes;
  }
  if (at_ == at::returned) return state::over;
  if (at_ != at::idle) return state::waits;
  if (!starter_) {
    fail(make_error_code(curfew::errc::canceled), "the source of the body was destroyed");
    return state::failed;
  }
  at_ = at::starting;
  std::exchange(starter_, nullptr)->complete(true, false);
  return state::waits;
}

void source_upload::consumed(std::size_t count) {
  std::shared_ptr<run> to;
  {
    const std::lock_guard guard(mutex_);
    taken_ += count;
    if (taken_ == pending_.size()) to = run_;
  }
  if (to) to->was_taken();
}

bool source_upload::rewind() {
  const std::lock_guard guard(mutex_);
  if (at_ == at::idle || at_ == at::starting) return true;
  if (what_->again == repeatable::no || stopped_) return false;
  pending_.clear();
  taken_ = 0;
  written_ = 0;
  failure_ = {};
  if (at_ == at::returned) {
    at_ = at::idle;
  } else {
    at_ = at::leaving;
    to_be_told_ = true;
  }
  return true;
}

void source_upload::stop() noexcept {
  const std::lock_guard guard(mutex_);
  if (std::exchange(stopped_, true)) return;
  if (at_ == at::running || at_ == at::leaving) {
    to_be_told_ = true;
  } else {
    at_ = at::returned;
  }
}

void source_upload::settle() noexcept {
  std::shared_ptr<run> it;
  canceler ends;
  {
    const std::lock_guard guard(mutex_);
    if (!std::exchange(to_be_told_, false)) return;
    it = run_;
    ends = ends_;
  }
  ends.cancel(cause(errc::answered));
  if (it) it->close();
}

bool source_upload::is_done() const {
  const std::lock_guard guard(mutex_);
  return at_ == at::idle || at_ == at::returned;
}

bool source_upload::when_done(std::function<void()> then) {
  const std::lock_guard guard(mutex_);
  if (at_ == at::idle || at_ == at::returned) return true;
  then_ = std::move(then);
  return false;
}

std::error_code source_upload::failure() const {
  const std::lock_guard guard(mutex_);
  return failure_;
}

std::string source_upload::detail() const {
  const std::lock_guard guard(mutex_);
  return detail_;
}

void source_upload::used_by(std::weak_ptr<upload_user> by) {
  const std::lock_guard guard(mutex_);
  user_ = std::move(by);
}

/// Takes what a run writes.
/// \return why not.
std::optional<error> source_upload::put(const run& from, std::string& bytes) {
  const std::lock_guard guard(mutex_);
  if (run_.get() != &from) return run::over();
  if (stopped_ || at_ == at::leaving) return error(make_error_code(errc::connection_lost), writing);
  if (failure_) return error(failure_, writing);
  if (taken_ != pending_.size())
    return error(std::make_error_code(std::errc::operation_in_progress), writing);
  if (length_ && bytes.size() > *length_ - written_) {
    fail(std::make_error_code(std::errc::message_size),
         "the source of the body gives more than its Content-Length");
    return error(failure_, writing);
  }
  written_ += bytes.size();
  pending_ = std::move(bytes);
  taken_ = 0;
  return std::nullopt;
}

/// The context of a write has ended.
void source_upload::give_up(const run& from, const context& ctx) {
  {
    const std::lock_guard guard(mutex_);
    if (run_.get() != &from || stopped_ || at_ == at::leaving) return;
    fail(ctx.err(), "the source of the body has given up a write");
  }
  tell();
}

void source_upload::fail(std::error_code why, std::string detail) {
  if (failure_) return;
  failure_ = why;
  detail_ = std::move(detail);
}

void source_upload::tell() noexcept {
  std::shared_ptr<upload_user> user;
  {
    const std::lock_guard guard(mutex_);
    user = user_.lock();
  }
  if (user) user->upload_ready();
}

}  // namespace curfew::http
