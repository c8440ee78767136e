#include "redis/engine.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <curfew/io/wait.hpp>
#include <exception>
#include <utility>

#include "redis/open.hpp"

namespace curfew::redis {

namespace asio = boost::asio;

engine::engine(std::shared_ptr<const settings> with)
    : with_(std::move(with)),
      living_(with_cancel(background())) {}

bool engine::spawn(std::function<asio::awaitable<void>()> what) {
  const std::lock_guard guard(mutex_);
  if (closed_) return false;
  if (!thread_.joinable()) {
    work_.emplace(loop_.get_executor());
    thread_ = std::thread([this] { loop_.run(); });
  }
  // Posted: it does not begin under the lock, and begins if it is not closed.
  asio::post(loop_, [this, what = std::move(what)]() mutable {
    asio::co_spawn(loop_, std::move(what), asio::detached);
  });
  return true;
}

void engine::connect(const std::shared_ptr<connection>& what, clock::time_point not_before) {
  const error gone(make_error_code(curfew::errc::canceled), {}, "the client was destroyed");
  try {
    if (!spawn([self = shared_from_this(), what, not_before] { return self->attempt(what, not_before); }))
      what->close(gone);
  } catch (const std::exception& e) {  // no thread, no memory
    what->failed(error(errc::connection_failed, {}, e.what()));
  }
}

asio::awaitable<void> engine::attempt(std::shared_ptr<connection> what, clock::time_point not_before) {
  const auto pause = not_before - clock::now();
  if (pause > clock::duration::zero()) std::ignore = co_await async_sleep_for(living(), pause);
  if (!what->is_wanted()) co_return;
  const auto limit = with_timeout(living(), with_->options.connect_timeout());
  std::optional<error> why;
  try {
    std::string bad_file;
    const auto trusts = with_->to.tls ? trust(bad_file) : nullptr;
    if (bad_file.empty()) {
      auto made = co_await open(limit.ctx(), with_, trusts, what->what_for());
      if (made) {
        what->connected(made->to.socket.release(), std::move(made->to.tls), made->id);
        co_return;
      }
      why = std::move(made).error();
    } else {
      why = error(errc::connection_failed, with_->to.shown, bad_file);
    }
  } catch (const std::exception& e) {
    why = error(errc::connection_failed, {}, e.what());
  }
  if (living().err()) {
    what->close(error(make_error_code(curfew::errc::canceled), {}, "the client was destroyed"));
  } else {
    what->failed(*why);
  }
}

std::shared_ptr<const tls::client_trust> engine::trust(std::string& why) {
  if (!trust_) {
    const client_options& given = with_->options;
    trust_ = tls::client_trust::make({.ca_file = given.ca_file(),
                                      .chain_file = given.client_chain_file(),
                                      .key_file = given.client_key_file(),
                                      .pinned_keys = {},
                                      .protocol = {}},
                                     why);
  }
  return trust_;
}

void engine::close() noexcept {
  std::thread thread;
  {
    const std::lock_guard guard(mutex_);
    closed_ = true;
    work_.reset();
    thread.swap(thread_);
  }
  living_.cancel();
  if (thread.joinable()) thread.join();
}

}  // namespace curfew::redis
