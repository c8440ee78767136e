#include <semaphore.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/io/run.hpp>
#include <exception>
#include <future>
#include <latch>
#include <memory>
#include <thread>
#include <utility>

// How the signals come. Linux gives a signal that is sent to the process to its first thread, unless that blocks it.
// So run() leaves no work that may be interrupted there: a plain main has a thread of its own, and the event loop of
// a coroutine takes its system calls up again. No signal is blocked: a mask would pass through exec() to child
// processes, which could then not be terminated.

namespace curfew::detail {

namespace asio = boost::asio;

namespace {

// What the handler shares with the watch. It is never destroyed: a handler may still be running in another thread when
// run() returns.
std::atomic<pid_t> signals_owner{0};
std::atomic<int> first_signal{0};
sem_t& signal_came() {
  struct initialised {
    sem_t semaphore;
    initialised() noexcept { ::sem_init(&semaphore, 0, 0); }
  };
  static initialised made;
  return made.semaphore;
}
static_assert(std::atomic<int>::is_always_lock_free);  // pid_t is an int

extern "C" void take_signal(int number) {
  const int saved = errno;
  if (::getpid() != signals_owner.load(std::memory_order_relaxed)) {
    // A child process between fork() and exec(): the signal is not the parent's.
    std::signal(number, SIG_DFL);
    std::raise(number);
  } else if (first_signal.exchange(number, std::memory_order_relaxed) != 0) {
    ::_exit(128 + number);
  } else {
    ::sem_post(&signal_came());
  }
  errno = saved;
}

/// The action of a signal, which is taken back at the end.
class signal_action {
 public:
  explicit signal_action(int number) noexcept : number_(number) {
    struct sigaction own{};
    own.sa_handler = take_signal;
    own.sa_flags = SA_RESTART;
    ::sigaction(number, &own, &before_);
  }
  signal_action(const signal_action&) = delete;
  signal_action& operator=(const signal_action&) = delete;
  ~signal_action() { ::sigaction(number_, &before_, nullptr); }

 private:
  int number_;
  struct sigaction before_{};
};

/// Ends `root` at the first SIGINT or SIGTERM; the handler ends the process at the second.
class signal_watch {
 public:
  explicit signal_watch(canceler root) : root_(std::move(root)) {}

  /// Returns when a signal has come and `root` has ended, or after stop().
  void wait() noexcept {
    for (;;) {
      ::sem_wait(&signal_came());  // may be left over from an earlier run
      if (const int number = first_signal.load(std::memory_order_relaxed); number != 0) {
        root_.cancel(number == SIGINT ? "SIGINT" : "SIGTERM");
        return;
      }
      if (over_.load(std::memory_order_relaxed)) return;
    }
  }
  void stop() noexcept {
    over_.store(true, std::memory_order_relaxed);
    ::sem_post(&signal_came());
  }

 private:
  /// Before the handlers can run.
  struct reset {
    reset() noexcept {
      signal_came();
      first_signal.store(0, std::memory_order_relaxed);
      signals_owner.store(::getpid(), std::memory_order_relaxed);
    }
  };

  canceler root_;
  std::atomic<bool> over_{false};
  reset reset_;
  signal_action interrupt_{SIGINT};
  signal_action terminate_{SIGTERM};
};

}  // namespace

int run_function(const std::function<int(const context&)>& main) {
  cancel_scope root = with_cancel(background());
  signal_watch watch(root.canceler());
  std::packaged_task<int()> work([&] { return main(root); });
  std::future<int> code = work.get_future();
  {
    std::latch started(1);
    const std::jthread thread([&] {
      started.wait();
      work();
      watch.stop();
    });
    started.count_down();  // this thread blocks all signals while it makes another, which would get them then
    watch.wait();
  }
  return code.get();
}

int run_coroutine(std::function<asio::awaitable<int>(context)> main) {
  auto io = std::make_unique<asio::io_context>(1);
  std::exception_ptr thrown;
  int code = 0;
  {
    cancel_scope root = with_cancel(background());
    signal_watch watch(root.canceler());
    const std::jthread watcher([&] { watch.wait(); });  // so that it works while main computes
    const context& ctx = root;
    asio::co_spawn(*io, main(ctx), [&](std::exception_ptr e, int returned) {
      thrown = std::move(e);
      code = returned;
      io->stop();
    });
    io->run();
    watch.stop();
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
