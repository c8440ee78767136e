#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/intrusive_list.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/http/message.hpp>
#include <curfew/http/status.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "http/server/exchange.hpp"
#include "http/server/tls_transport.hpp"
#include "http/server/transport.hpp"
#include "http/server/worker.hpp"
#include "http/wire/proxy_header.hpp"
#include "http/wire/regular_file.hpp"
#include "http/wire/request_parser.hpp"
#include "http/wire/response_head.hpp"
#include "http/wire/send_parts.hpp"

namespace curfew::http {

/// One connection of a server: it pumps bytes between its transport, the parser and the exchange at hand. Its coroutine
/// runs the exchanges in turn:
///
///  securing ──handshake──┐      (with TLS; a failure, its time and a shutdown close it, after the client was told)
///                        ▼
///     reading ──request──► handling ──response──► sending ──all sent──► reading …
///        │                    │                      │ closing, and the client may still send
///        │ end, time, shutdown│                      └──────────► lingering ──end, time, shutdown──► closed
///        └────────────────────┴─ a handler whose client has gone, or for which the server has answered, runs on without
///                                the socket ─► closed
///
/// The coroutine suspends in one of two waits, `in_` for what the client sends and `out_` for what it takes, and wherever
/// a handler does. An event of the transport, a tick of the clock, the end of a context or the server's shutdown ends a
/// wait, all of them in the worker's thread; after an event both try again. An event while a handler runs resumes nothing.
/// It is remembered, and a client that has gone ends the context of the request.
///
/// A body goes to the request, before its handler is called; or to its reader, piece by piece, while the handler runs. What
/// an early answer leaves of it is thrown away if it is small, so that the next request can be read:
///
///     unread ──first read: 100 Continue──► pumped on demand ──last byte──► done
///        └──────────────┴─ the answer is sent ─► small: thrown away ─► done;  else: lingering
///
/// Races:
/// - What ends a wait comes when that is over, and another has begun: the end of a context names the wait by its number;
///   events and ticks may come for nothing, since each wait looks again.
/// - The client goes while its handler runs: the context ends at once, the socket is closed, and what the handler returns
///   is dropped.
/// - A shutdown begins when a request has come and has not been read: the connection looks once more before it closes.
/// - A body's writer or reader is kept after its end: it shares a sink or a source with the connection, which says that the
///   body is over. One that is under way then is aborted first.
///
/// Lifetime: the coroutine owns it; so a handler that outlives its client keeps it, without the socket.
/// Thread: the worker's.
class connection final : public watched,
                         public detail::list_hook<>,
                         public std::enable_shared_from_this<connection> {
 public:
  connection(worker& on, int socket, peer from);
  ~connection() override;

  static void start(std::shared_ptr<connection> self);

  void on_event(std::uint32_t events) override;
  void on_tick(clock::time_point now);
  /// Closes it unless there is something of a request beyond its header.
  void begin_shutdown();
  /// The end of a shutdown: what waits for the client fails.
  void give_up();
  boost::asio::awaitable<result<>> write(context ctx, std::string bytes);
  /// The next piece of a streamed body; none at its end.
  boost::asio::awaitable<result<std::optional<std::string>>> read(context ctx);

 private:
  enum class phase { none, idle, header };
  enum class step { wait, expect, request, refuse, close };
  enum class opening { wait, encrypt, refuse, close };
  using written = transport::written;
  /// Does a half-close end a write? Not that of a plain response; a stream ends with its context.
  enum class patience { response, stream };

  /// Where a coroutine waits for the client.
  struct wait {
    std::move_only_function<void()> resume;  // of the coroutine that waits; empty: there is none
    clock::time_point expires = clock::time_point::max();
    bool timed_out = false;
    bool aborted = false;  // the context of the wait at hand has ended
    unsigned number = 0;   // of the wait at hand
  };

  boost::asio::awaitable<void> serve();
  boost::asio::awaitable<void> serve_requests();
  boost::asio::awaitable<bool> secure();
  boost::asio::awaitable<bool> answer();
  boost::asio::awaitable<bool> send_response(response reply, const context* ctx);
  boost::asio::awaitable<bool> send_file(const file_body& what, const context* ctx);
  boost::asio::awaitable<bool> send_stream(body_source source, framing how);
  boost::asio::awaitable<void> linger();
  boost::asio::awaitable<bool> throw_rest_away();

  // Reading.
  opening open_in_plain();
  void handshake_failed(const tls_transport& with);
  [[nodiscard]] bool is_client_welcome(const tls_transport& by);
  step advance();
  bool take_proxy_header(std::string_view& bytes);
  std::string_view receive();
  void look_for_end();
  void read_ahead();
  void keep(std::string_view rest);
  bool take_header();
  request_parser::progress pump_body(std::string* into);
  bool is_rest_small();
  clock::time_point arm_input();
  void add_to_waited(clock::time_point begin);
  boost::asio::awaitable<bool> send_continue();
  void close_reader();
  void next_exchange();
  [[nodiscard]] bool is_stopping() const noexcept;
  /// Has the client gone, as far as its request is concerned?
  [[nodiscard]] bool has_gone() const noexcept;

  // Writing: `pending_`, and `file_` behind it, are what is still to be sent, without the parts that have been.
  [[nodiscard]] head_options options_of_head(bool keep_alive) const;
  written try_send();
  boost::asio::awaitable<bool> finish_send(const context* ctx, patience how);
  /// All of it, as far as the client takes it.
  boost::asio::awaitable<bool> send_pending(const context* ctx, patience how);

  class aborter;
  boost::asio::awaitable<void> suspend(wait& at);
  void cut();
  void wake(wait& at);
  void abort(wait& at);

  const detail::carrier lane_;  // what the coroutine works for, as inspection shows it
  worker& worker_;
  std::unique_ptr<transport> transport_;  // never null
  peer from_;
  std::unique_ptr<proxy_header> proxy_header_;  // until it has come
  std::optional<exchange> exchange_;            // the one at hand, always there
  request_parser parser_;

  bool given_up_ = false;
  wait in_;
  wait out_;

  phase phase_ = phase::none;
  bool first_request_ = true;
  std::size_t requests_ = 0;
  status refusal_ = status::bad_request;  // of the last step::refuse
  bool handling_ = false;                 // the handler runs
  bool lingering_ = false;
  bool continued_ = false;      // 100 Continue has been sent
  bool linger_ = false;         // the response is complete: see that it arrives
  bool discarding_ = false;     // the rest of a body
  std::string input_;           // received, not yet understood
  clock::time_point input_at_;  // when the newest of it came, on the clock of the contexts

  std::shared_ptr<body_reader::source> source_;  // of a body that streams
  std::optional<error> body_failed_;
  clock::duration body_waited_{};  // for its bytes, so far

  bool keep_alive_ = true;
  bool broken_ = false;  // a part of a stream may have been sent and the rest not
  bool chunked_ = false;
  std::string output_;
  chunk_line chunk_line_;
  std::array<std::string_view, 3> pending_{};
  file_rest file_;
};

}  // namespace curfew::http
