#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/http/message.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/server/router_table.hpp"
#include "http/server/worker.hpp"
#include "http/wire/request_parser.hpp"
#include "http/wire/response_head.hpp"

namespace curfew::http {

/// One connection of a server: a coroutine that reads a request, runs its handler, sends the response, and
/// again.
///
/// It suspends in one place, `suspend`, to wait for its client, and wherever a handler does. An event of the
/// socket, a tick of the clock, the end of a context or the server's shutdown resumes it, all of them in the
/// worker's thread:
///
///                      on_event ─► reading  ─► advance
///     suspend(waiting) on_tick  ─► writing  ─► send again, or fail
///                      …        ─► lingering─► discard again, or close
///
/// An event while a handler runs resumes nothing. It is remembered, and a client that has gone ends the context of
/// the request.
///
/// Lifetime: the coroutine owns it; so a handler that outlives its client keeps it, without the socket if
/// that was reset.
/// Thread: the worker's, except for what the worker says.
class connection final : public watched, public std::enable_shared_from_this<connection> {
 public:
  connection(worker& on, int socket, std::string remote);
  ~connection() override;

  static void start(std::shared_ptr<connection> self);

  void on_event(std::uint32_t events) override;
  void on_tick(clock::time_point now);
  /// Shutdown begins: closes it unless there is something of a request.
  void close_if_idle();
  /// The end of a shutdown: what waits for the client fails.
  void give_up();
  boost::asio::awaitable<result<>> write(context ctx, std::string bytes);

  // Under the worker's mutex, any thread.

  void collect(std::vector<canceler>& all) const;
  void describe(std::vector<std::string>& all, clock::time_point now) const;
  /// "GET /disk/{name}" while a handler or a body's source is under way; else empty.
  [[nodiscard]] std::string route_name() const;

  // The worker's list.

  static void link(connection*& first, connection& c) noexcept;
  static void unlink(connection*& first, connection& c) noexcept;
  static connection* next(const connection& c) noexcept { return c.next_; }
  template <class F>
  static void for_each(connection* first, F f) {
    while (first != nullptr) {
      connection& c = *first;
      first = c.next_;  // f may remove c
      f(c);
    }
  }

 private:
  enum class waiting { nothing, reading, writing, lingering };
  enum class phase { none, idle, header, body };
  enum class step { wait, expect, request, refuse, close };
  enum class sent { all, blocked, failed };
  /// Does a half-close end a write? Not that of a plain response; a stream ends with its context.
  enum class patience { response, stream };

  boost::asio::awaitable<void> serve();
  boost::asio::awaitable<bool> answer();
  boost::asio::awaitable<bool> send_response(response reply, const context* ctx);
  boost::asio::awaitable<bool> send_stream(body_source source, framing how);
  boost::asio::awaitable<void> linger();

  // Reading.
  step advance();
  std::string_view receive();
  void read_ahead();
  void keep(std::string_view rest);
  void arm_timeout();

  // The request at hand.
  void next_request();
  std::optional<response> begin(const route& to);
  void end(const cause& why) noexcept;
  void client_gone() noexcept;
  void complain(std::string_view what) const;

  // Writing: `pending_` is what is still to be sent, without the parts that have been.
  sent try_send();
  boost::asio::awaitable<bool> finish_send(const context* ctx, patience how);

  boost::asio::awaitable<void> suspend(waiting w);
  void wake();
  void abort_write();
  void close(bool reset = false) noexcept;

  worker& worker_;
  int socket_;
  connection* next_ = nullptr;  // next_, previous_: of the worker's list
  connection* previous_ = nullptr;

  // What events have said.
  bool readable_ = true;
  bool half_closed_ = false;  // the client sends nothing more
  bool gone_ = false;         // neither reads: the connection is of no use
  bool at_end_ = false;       // everything that the client sent has been read
  bool given_up_ = false;

  waiting waiting_ = waiting::nothing;
  std::move_only_function<void()> resume_;
  clock::time_point expires_ = clock::time_point::max();
  bool timed_out_ = false;
  bool aborted_ = false;  // the context of the write at hand has ended
  unsigned write_number_ = 0;

  const std::string remote_;
  context holder_;    // a value in it is the request at hand: so that lives as long as a context of it
  request* request_;  // in holder_
  request_parser parser_;
  phase phase_ = phase::none;
  bool first_request_ = true;
  bool continued_ = false;                      // 100 Continue has been sent
  bool linger_ = false;                         // the response is complete: see that it arrives
  bool unread_ = false;                         // there may be more of the request
  std::string input_;                           // received, not yet understood
  std::optional<clock::time_point> header_at_;  // on the clock of the contexts; set if the body came later

  bool keep_alive_ = true;
  bool broken_ = false;  // a part of a stream may have been sent and the rest not
  bool chunked_ = false;
  std::string output_;
  std::array<char, 20> chunk_size_{};
  std::array<std::string_view, 3> pending_{};

  // Changed under the worker's mutex.
  std::optional<cancel_scope> scope_;  // of the request whose handler runs or whose response is being sent
  const route* route_ = nullptr;       // of scope_
  clock::time_point began_;
};

}  // namespace curfew::http
