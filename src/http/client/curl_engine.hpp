#pragma once

#include <curl/curl.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <curfew/http/client.hpp>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace curfew::http {

struct curl_transfer;

/// The thread that owns a client's curl multi handle, and the inbox through which other threads reach it.
///
/// Invariants:
/// 1. curl is called on the engine's thread alone, never under a lock, and inside a callback of curl nothing
///    of ours is called that could come back to curl: what a callback finds out is put on `touched_` and
///    delivered when curl has returned.
/// 2. A transfer is in `active_` from begin() to finish(). Each one that was accepted by post(starts) gets
///    one finish(): when curl is done with it, when its context ends, when its download is dropped, or at
///    close.
/// 3. Lock order: `inbox_mutex_` and a transfer's `mutex` are leaves; nothing is locked or called under them.
class curl_engine {
 public:
  using transfer = curl_transfer;

  /// What a transfer is put into the inbox for; several may come together.
  enum wish : unsigned { starts = 1, ends = 2, resumes = 4, drops = 8 };

  /// Throws: std::system_error, std::bad_alloc.
  explicit curl_engine(client_options options);
  curl_engine(const curl_engine&) = delete;
  curl_engine& operator=(const curl_engine&) = delete;
  ~curl_engine();

  /// Asks the engine's thread to do `what` for `t`; from any thread.
  /// \return false once the engine is closed: nothing will be done.
  bool post(std::shared_ptr<transfer> t, wish what) noexcept;

  /// Ends what is under way with errc::canceled; returns when the thread has gone, unless this is that
  /// thread.
  void close() noexcept;

  [[nodiscard]] const client_options& options() const noexcept { return options_; }

  // For transfers, on the engine's thread.

  /// A callback of curl has changed `t`: deliver what there is, once curl has returned.
  void touch(transfer& t);

  static void start(const std::shared_ptr<curl_engine>& self);

  /// curl has opened a socket of this number, and so closed the one that had it before.
  void opened(curl_socket_t fd);
  /// For CURLOPT_CLOSESOCKETFUNCTION, with the engine as data.
  static int on_close_socket(void* self, curl_socket_t fd) noexcept;

 private:
  /// A socket of curl's. It is watched through a duplicate, because libcurl 7.88 closes a socket that is not
  /// connected yet before it says so: its number may belong to another file by then.
  struct watched_socket {
    watched_socket(boost::asio::io_context& io, curl_socket_t curls);
    ~watched_socket();
    watched_socket(const watched_socket&) = delete;
    watched_socket& operator=(const watched_socket&) = delete;

    const curl_socket_t number;  // curl's
    const int duplicate;         // -1: there are too many open files, the number itself is watched
    boost::asio::posix::stream_descriptor descriptor;
    int wanted = 0;  // CURL_POLL_…
    bool reading = false;
    bool writing = false;
    bool gone = false;
  };
  using socket_ptr = std::shared_ptr<watched_socket>;

  static int on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void* unused) noexcept;
  static int on_timer(CURLM* multi, long timeout_ms, void* self) noexcept;

  void watch(curl_socket_t fd, int what);
  void forget(curl_socket_t fd);
  void arm(const socket_ptr& socket);
  void ready(const socket_ptr& socket, int events);
  void set_timer(long timeout_ms);
  void drive(curl_socket_t fd, int events);
  void wait_for_inbox();
  void empty_inbox();
  void handle(const std::shared_ptr<transfer>& t, unsigned wishes);
  void begin(const std::shared_ptr<transfer>& t);
  void finish(const std::shared_ptr<transfer>& t, std::optional<error> failure);
  void take_finished();
  void deliver_touched();
  void shut_down();

  const client_options options_;

  std::mutex inbox_mutex_;
  // Guarded by inbox_mutex_.
  std::shared_ptr<transfer> inbox_;  // the newest; linked by transfer::inbox_next
  bool closed_ = false;

  // The engine's thread alone.
  boost::asio::io_context io_{1};
  boost::asio::posix::stream_descriptor wake_;  // an eventfd; written to by all threads
  int wake_fd_;
  boost::asio::steady_timer timer_{io_};
  CURLM* multi_ = nullptr;
  std::unordered_map<curl_socket_t, socket_ptr> sockets_;
  std::unordered_set<std::shared_ptr<transfer>> active_;
  std::vector<std::shared_ptr<transfer>> touched_;

  std::mutex thread_mutex_;  // guards thread_; held while joining
  std::thread thread_;
};

}  // namespace curfew::http
