#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/io/detail/wake_event.hpp>
#include <curfew/tls/detail/engine.hpp>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "redis/loop_socket.hpp"
#include "redis/operation.hpp"
#include "redis/reply_reader.hpp"
#include "redis/settings.hpp"

namespace curfew::redis {

class connection;

/// Makes a connection's socket, in a thread that waits for it.
class connector {
 public:
  virtual ~connector() = default;
  /// Calls `connected` or `failed` of it, later, or `close`. Any thread.
  virtual void connect(const std::shared_ptr<connection>& what, clock::time_point not_before) = 0;
};

/// What a connection is for.
enum class use : std::uint8_t {
  shared,   ///< Commands of any callers.
  waiting,  ///< Commands that wait in the server, one at a time.
  messages  ///< It is subscribed to channels.
};

/// A connection to a server on an event loop, and the operations on it, which are sent one behind the other.
///
///             submit()                connected()
///     idle ────────────► connecting ───────────────► open ──► idle     lost: what was sent fails, and what was not waits
///       ▲                     │ failed(): all fail               for the next one
///       └─────────────────────┘
///
///     each state ── close(), drop() ──► closed
///
/// While it is open, a read is under way as long as answers are expected: else the loop would never run out of work. It is the
/// loop's, or that of a thread that waits for its own answer and takes those of others on the way (run): a thread alone is
/// woken by nobody, nor does it wake the loop, which watches the socket only where it has something to wait for.
///
/// Invariants
///  1. Answers come in the order of in_flight_. An operation leaves it when all of its answers are there, whether or not
///     someone waits for them: so no answer reaches another one.
///  2. A completion is called, and an operation destroyed, with no lock held.
///  3. The socket is used under mutex_ alone; at most one read and one wait to write are under way.
///
/// Thread safety: any thread.
class connection : public std::enable_shared_from_this<connection> {
 public:
  using listener = std::function<void(reply&&)>;

  /// \param loop  Runs its reads, and completes its operations.
  connection(boost::asio::execution_context& loop, std::shared_ptr<const settings> with,
             std::shared_ptr<connector> by, use what_for);
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  /// Of one for messages, before it is used: gets each message, in a thread of the loop.
  void on_message(listener f) { on_message_ = std::move(f); }
  /// The same, once, when the connection is lost or closed.
  void on_lost(std::function<void(const error&)> f) { on_lost_ = std::move(f); }

  /// Sends it when the connection is there, and completes it when it is answered.
  /// \param soon  Of its loop: sends it with what is submitted until then; null: at once, in this thread.
  void submit(const std::shared_ptr<operation>& op, const boost::asio::any_io_executor* soon);
  /// Submits it at once, and reads in this thread, if no read is under way, until it is done.
  void run(const std::shared_ptr<operation>& op);
  /// The context of the operation has ended.
  void abandon(operation& op) noexcept;

  /// Ends what waits, with this error, and everything that comes later.
  void close(const error& why) noexcept;
  /// The loop goes: its handlers go with it.
  void drop() noexcept;

  // For the connector.

  /// \param socket  Is owned. \param encrypts  It, where it is over TLS. \param id  Of the connection, in the server.
  void connected(int socket, std::unique_ptr<tls::engine> encrypts, std::int64_t id) noexcept;
  void failed(const error& why) noexcept;
  /// Does something still wait for it? If not, it rests, and needs no answer.
  [[nodiscard]] bool is_wanted() noexcept;
  [[nodiscard]] boost::asio::execution_context& loop() const noexcept { return loop_; }
  [[nodiscard]] use what_for() const noexcept { return what_for_; }

  /// How much is under way, about.
  [[nodiscard]] std::size_t load() const noexcept { return load_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool is_open() noexcept;
  /// Was the operation sent, so that it may be carried out?
  [[nodiscard]] bool was_sent(const operation& op) noexcept;
  /// In the server; 0: not open.
  [[nodiscard]] std::int64_t id() noexcept;

 private:
  enum class at : std::uint8_t { idle, connecting, open, closed };
  using operations = std::deque<std::shared_ptr<operation>>;
  struct finished {
    std::shared_ptr<operation> op;
    answers got;
  };
  /// To be done when the lock has been given back.
  struct aftermath {
    std::vector<finished> done;
    std::vector<std::shared_ptr<operation>> gone;
    std::vector<reply> messages;
    std::optional<error> lost;
    bool connect = false;
    clock::time_point not_before;
  };

  enum class reads : std::uint8_t { loop, caller };
  enum class sends : std::uint8_t { now, soon };
  class turn;

  /// \return whether nothing sends it yet.
  bool enqueue(const std::shared_ptr<operation>& op, sends when, reads who);
  void flush_now();
  void read_until_done(const operation& op);
  // Under mutex_.
  void send_queue(aftermath& after, reads who = reads::loop);
  void write(aftermath& after);
  void read(aftermath& after);
  /// Null: it is lost.
  loop_socket::watched_type* watch(aftermath& after);
  void read_here(aftermath& after);
  [[nodiscard]] ssize_t send_some(std::string_view bytes) noexcept;
  [[nodiscard]] ssize_t receive_some() noexcept;
  /// What errno says of the last of these two.
  [[nodiscard]] std::string why_broken() const;
  void stop_reading_here(aftermath& after);
  void take_answers(aftermath& after);
  void take(reply&& one, aftermath& after);
  void lose(errc code, std::string text, aftermath& after);
  void fail(operations& all, const error& why, outcome became, aftermath& after);
  void finish(const std::shared_ptr<operation>& op, answers got, aftermath& after);
  void let_go() noexcept;
  void want_connection(aftermath& after);
  /// What makes a connection useless that nothing is read from: it was closed, or there is something that nothing has asked
  /// for. Null: nothing.
  [[nodiscard]] const char* flaw();
  [[nodiscard]] bool is_silent() const;
  void count() noexcept { load_.store(queue_.size() + in_flight_.size(), std::memory_order_relaxed); }

  void on_read(const boost::system::error_code& ec, std::size_t count, std::uint64_t number);
  void on_readable(const boost::system::error_code& ec, std::uint64_t number);
  void on_writable(const boost::system::error_code& ec, std::uint64_t number);
  /// \param here  A thread of the loop.
  void conclude(aftermath& after, bool here);
  /// \return the first exception.
  static std::exception_ptr complete(std::vector<finished>& all, bool here);

  boost::asio::execution_context& loop_;
  const std::shared_ptr<const settings> with_;
  const std::shared_ptr<connector> connector_;
  const use what_for_;
  listener on_message_;
  std::function<void(const error&)> on_lost_;
  std::atomic<std::size_t> load_{0};

  std::mutex mutex_;
  // Guarded by mutex_.
  at state_ = at::idle;
  std::optional<error> closed_by_;
  loop_socket socket_;
  std::unique_ptr<tls::engine> tls_;  // null: in plain
  std::uint64_t socket_number_ = 0;   // tells the handlers of an old one
  std::int64_t id_ = 0;
  operations queue_;      // not sent
  operations in_flight_;  // sent
  std::size_t live_ = 0;  // of both, those that someone waits for
  std::string out_;
  std::size_t written_ = 0;           // of out_
  const void* flushed_by_ = nullptr;  // soon: a turn, or what is posted
  bool is_reading_ = false;
  bool thread_reads_ = false;                        // a caller's, not the loop
  std::optional<curfew::detail::wake_event> waker_;  // ends its wait
  bool is_writing_ = false;                          // waits for room
  std::optional<reply_reader> reader_;
  std::array<char, 16 * 1024> in_;  // of the read that is under way
  clock::time_point heard_;         // or when the first of in_flight_ was sent
  unsigned failures_ = 0;
  clock::time_point next_attempt_;
};

}  // namespace curfew::redis
