#pragma once

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <ctime>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace curfew::http {

class connection;
struct server_state;

/// Something in a worker's epoll set.
class watched {
 public:
  virtual ~watched() = default;
  virtual void on_event(std::uint32_t events) = 0;
};

/// One thread of a server: an event loop, and the connections that live on it.
///
/// The sockets are in an epoll set of their own, edge-triggered, and entered once; Asio watches the set as it
/// would watch a socket. See docs/design on the read pump for why.
///
/// Everything belongs to the worker's thread, unless it says "any thread".
/// Invariants: the list of connections, and what a connection says about its running request, are changed by the
/// worker's thread only, under `mutex_`. So that thread reads them without the lock, other threads with it. No
/// callback runs under it.
class worker {
 public:
  explicit worker(server_state& server);
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  ~worker();

  // Any thread.

  void start();
  /// Ends the thread when its connections have gone and what their handlers left behind is done.
  void stop();
  void join();
  boost::asio::io_context& io() noexcept { return io_; }
  server_state& server() const noexcept { return server_; }
  /// A socket from the acceptor.
  void adopt(int socket, std::string remote);
  /// Closes the idle connections.
  void begin_shutdown();
  /// Resumes every connection that waits for its client; it gives up.
  void end_waiting();
  /// Handles for the contexts of all running requests.
  std::vector<canceler> cancelers();
  /// The requests that still run: "GET /disk?root=/usr, 12.3 s".
  std::vector<std::string> running();
  [[nodiscard]] std::size_t finished();

  // Any thread; for the loop_watch.

  /// Is there a request whose handler, or whose response, is under way?
  [[nodiscard]] bool has_requests() const noexcept { return requests_.load(std::memory_order_relaxed) != 0; }
  /// Asks the loop for a sign.
  void ask();
  /// When it last gave one.
  [[nodiscard]] clock::time_point answered() const noexcept { return answered_.load(); }
  /// The handler that runs now: "GET /disk/{name}"; "one of …" where that is not certain, since a handler that
  /// waited goes on without the worker's knowledge. Empty: there is none.
  [[nodiscard]] std::string holder();

  // The worker's thread.

  /// Enters a descriptor into the epoll set.
  /// \return false, with errno, if the system refuses.
  bool watch(int descriptor, std::uint32_t events, watched& by) noexcept;
  void change(int descriptor, std::uint32_t events, watched& by) noexcept;
  void unwatch(int descriptor) noexcept;
  /// Calls `f` at each tick of the clock, until it returns false.
  void each_tick(std::function<bool(clock::time_point)> f);

  void remove(std::shared_ptr<connection> c) noexcept;
  /// The time when this round of events began.
  [[nodiscard]] clock::time_point now() const noexcept { return now_; }
  /// "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"
  std::string_view date();
  /// Where all connections read to: what is there is of use until the next read.
  [[nodiscard]] std::span<char> scratch() noexcept { return {scratch_.get(), scratch_size}; }
  [[nodiscard]] std::mutex& mutex() noexcept { return mutex_; }
  void count_finished() noexcept { ++finished_; }  // under mutex()
  void count_request(bool begins) noexcept {
    const auto count = requests_.load(std::memory_order_relaxed);  // this thread alone writes it
    requests_.store(begins ? count + 1 : count - 1, std::memory_order_relaxed);
  }
  /// A handler of that connection is called: it runs until this is called with null, or until the loop has
  /// control again.
  void runs(const connection* c) noexcept { runs_.store(c, std::memory_order_relaxed); }

  const cause client_gone;  // one for each thread: copies of a cause count references
  const cause handler_done;

 private:
  static constexpr std::size_t scratch_size = 64 * 1024;

  void wait_for_events();
  void poll();
  void arm_tick();
  void tick();

  server_state& server_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  boost::asio::posix::stream_descriptor epoll_;
  boost::asio::steady_timer ticker_;
  clock::duration tick_time_;
  bool ticking_ = false;
  bool dispatching_ = false;
  bool stopped_ = false;
  clock::time_point now_;
  std::unique_ptr<char[]> scratch_;
  std::time_t date_of_ = -1;
  std::string date_;
  std::vector<std::function<bool(clock::time_point)>> at_tick_;
  std::vector<std::shared_ptr<connection>> graveyard_;  // removed while events that may name them are handled

  std::atomic<std::size_t> requests_{0};
  std::atomic<const connection*> runs_{nullptr};
  std::atomic<clock::time_point> answered_{clock::time_point()};

  std::mutex mutex_;
  connection* first_ = nullptr;
  std::size_t finished_ = 0;  // requests that were answered while the server is stopping

  std::thread thread_;
};

}  // namespace curfew::http
