#pragma once

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <ctime>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/detail/intrusive_list.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "http/server/peer.hpp"
#include "http/wire/loop.hpp"

namespace curfew::http {

class connection;
class exchange;
struct server_state;

/// One thread of a server: an io_context, the loop that watches its sockets, and the connections that live on it.
///
/// Everything belongs to the worker's thread, unless it says "any thread".
/// Invariants: the list of running exchanges, and what an exchange says about itself, are changed by the worker's thread
/// only, under `mutex_`. So that thread reads them without the lock, other threads with it. No callback runs under it.
/// The list of connections is the worker's thread's alone.
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
  void adopt(int socket, peer from);
  /// Closes the connections without a request.
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

  [[nodiscard]] loop& events() noexcept { return loop_; }
  void remove(std::shared_ptr<connection> c) noexcept;
  void add(exchange& running) noexcept;     // under mutex()
  void remove(exchange& running) noexcept;  // under mutex()
  /// "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"
  std::string_view date();
  [[nodiscard]] std::mutex& mutex() noexcept { return mutex_; }
  /// The handler of that exchange is called: it runs until this is called with null, or until the loop has
  /// control again.
  void runs(const exchange* e) noexcept { runs_.store(e, std::memory_order_relaxed); }

  const cause client_gone;  // one for each thread: copies of a cause count references
  const cause handler_done;

 private:
  void arm_tick();
  template <class F>
  void for_each_connection(F f);

  server_state& server_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  loop loop_;
  bool ticking_ = false;
  detail::intrusive_list<connection> connections_;
  std::size_t connection_count_ = 0;
  std::time_t date_of_ = -1;
  std::string date_;

  std::atomic<std::size_t> requests_{0};
  std::atomic<const exchange*> runs_{nullptr};
  std::atomic<clock::time_point> answered_{clock::time_point()};

  std::mutex mutex_;
  detail::intrusive_list<exchange> exchanges_;
  std::size_t finished_ = 0;  // requests that were answered while the server is stopping

  std::thread thread_;
};

}  // namespace curfew::http
