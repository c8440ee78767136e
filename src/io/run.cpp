#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/io/run.hpp>
#include <exception>
#include <future>
#include <memory>
#include <thread>
#include <utility>

namespace curfew::detail {

namespace asio = boost::asio;

namespace {

/// Ends `root` at the first SIGINT or SIGTERM, and the process at the second. Has a thread of its own, so
/// that it works while main computes.
class signal_watch {
 public:
  explicit signal_watch(canceler root) : root_(std::move(root)), signals_(io_, SIGINT, SIGTERM) {
    listen();
    thread_ = std::thread([this] { io_.run(); });
  }
  signal_watch(const signal_watch&) = delete;
  signal_watch& operator=(const signal_watch&) = delete;
  ~signal_watch() {
    asio::post(io_, [this] {
      over_ = true;  // the handler of a signal that is on its way must not listen again: nothing cancels that
      signals_.cancel();
    });
    thread_.join();  // ends when the loop has nothing to do, so `canceled_` is set by now if it ever is
    if (canceled_.valid()) canceled_.wait();
  }

 private:
  void listen() {
    if (over_) return;
    signals_.async_wait([this](boost::system::error_code failed, int number) {
      if (failed) return;
      if (seen_) ::_exit(128 + number);
      seen_ = true;
      listen();
      // In another thread: canceling runs the user's callbacks, and the second signal must not wait for them.
      std::packaged_task<void()> cancel(
          [this, number] { root_.cancel(number == SIGINT ? "SIGINT" : "SIGTERM"); });
      canceled_ = cancel.get_future();
      std::thread(std::move(cancel)).detach();  // the destructor waits for canceled_
    });
  }

  canceler root_;
  asio::io_context io_{1};
  asio::signal_set signals_;
  bool over_ = false;  // over_, seen_, canceled_: of the loop's thread
  bool seen_ = false;
  std::future<void> canceled_;
  std::thread thread_;
};

}  // namespace

int run_function(const std::function<int(const context&)>& main) {
  cancel_scope root = with_cancel(background());
  const signal_watch watch(root.canceler());
  return main(root);
}

int run_coroutine(std::function<asio::awaitable<int>(context)> main) {
  auto io = std::make_unique<asio::io_context>(1);
  std::exception_ptr thrown;
  int code = 0;
  {
    cancel_scope root = with_cancel(background());
    const signal_watch watch(root.canceler());
    const context& ctx = root;
    bool over = false;
    asio::co_spawn(*io, main(ctx), [&](std::exception_ptr e, int returned) {
      thrown = std::move(e);
      code = returned;
      over = true;
      io->stop();
    });
    io->run();
    root.cancel("main has returned");
  }
  // What main left behind has been told to stop. Work on other threads, which holds the loop's executor, must
  // come home before the loop goes; if it does not, the loop stays, for the process is about to end.
  io->restart();
  io->run_for(std::chrono::seconds(1));
  if (!io->stopped()) static_cast<void>(io.release());
  if (thrown) std::rethrow_exception(thrown);
  return code;
}

}  // namespace curfew::detail
