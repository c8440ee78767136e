#pragma once

#include <algorithm>
#include <array>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/http/redirect.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "http/client/client_connection.hpp"
#include "http/client/client_exchange.hpp"
#include "http/client/client_pool.hpp"
#include "http/client/client_state.hpp"
#include "http/client/connector.hpp"
#include "http/client/transfer.hpp"
#include "http/wire/decoder.hpp"
#include "http/wire/loop.hpp"
#include "http/wire/send_parts.hpp"

namespace curfew::http {

/// One call, from its start until its response is complete or its download opens.
///
///     queued ─► resolving ─► connecting ─► tunneling ─► securing ─► sending ─► waiting ─► header ─► body ─► over
///        │                       │         to a proxy,     TLS         ▲                                 │
///        │                       │          for TLS                    │                                 │
///        │                       └──────────── plain ──────────────────┤                                 │
///        └──────────────────── an idle connection ─────────────────────┘     queued ◄──── a redirect ────┘
///
/// What moves it: begin(), in the thread that makes the call; a grant of the pool, and events of its sockets, in its
/// loop's thread; the resolver's answer, an alarm, the end of its context, and that of its client, in theirs. Each takes
/// `mutex_`, and finds it over or moves it on. So there is one outcome, and whatever comes second changes nothing.
/// The loop's thread then tells the handler, without the lock.
///
/// A body that streams is sent while the answer is awaited and read. A download opens when its header has come and the
/// body has been sent, or is in vain.
///
/// Races: the end of the context against a complete response: the first under the lock. A grant of the pool against that
/// end: withdraw() hands it on. An event of a socket that has been given back: on_socket() compares the connection. A
/// kept connection that the server has closed: the request is sent again on another if nothing of an answer came
/// and it is idempotent, or nothing of it was sent.
///
/// Lifetime: the handler owns it, so that it goes with the handler's io_context; its destructor closes the connection.
class client_call final : public job,
                          public connection_user,
                          public client_activity,
                          public upload_user,
                          public std::enable_shared_from_this<client_call> {
 public:
  using completion = std::variant<response_completion, download_completion>;

  /// Starts a call whose handler runs on `in`.
  /// \param runs_source  Where the source of a body runs.
  static void start(std::shared_ptr<client_state> client, std::shared_ptr<loop> in, context ctx, request what,
                    const boost::asio::any_io_executor& runs_source, completion done);

  /// For start.
  /// \param limit  Below `ctx`: where the client has a default timeout, and ctx no deadline.
  client_call(std::shared_ptr<client_state> client, std::shared_ptr<loop> in, context ctx,
              std::optional<cancel_scope> limit, call_target target, completion done);
  client_call(const client_call&) = delete;
  client_call& operator=(const client_call&) = delete;
  ~client_call() override;

  void run() override;
  void on_socket(client_connection& c, std::uint32_t events) override;
  void client_gone() noexcept override;
  void upload_ready() noexcept override;
  std::shared_ptr<client_activity> owned() noexcept override { return weak_from_this().lock(); }

 private:
  enum class phase : unsigned char {
    queued,
    resolving,
    connecting,
    tunneling,  // asking the proxy for a way to the server
    securing,   // shaking hands for TLS
    sending,
    waiting,
    header,
    body,
    over
  };
  enum class progress { needs_input, over };
  enum class part { some, waits, none, failed };

  struct on_end {
    std::weak_ptr<client_call> of;
    void operator()() const noexcept;
  };
  struct on_alarm {
    std::weak_ptr<client_call> of;
    void operator()() const noexcept;
  };
  struct alarm {
    cancel_scope scope;
    on_done<on_alarm> rings;
    alarm(clock::time_point at, std::weak_ptr<client_call> of)
        : scope(with_deadline(background(), at)),
          rings(scope.ctx(), on_alarm{std::move(of)}) {}
  };
  /// A socket that is being connected, in the loop's set.
  class attempt;
  // What a hook of the user's is to be asked about, by the loop's thread and without a lock.
  struct dial_question {
    std::shared_ptr<const resolver::addresses> to;  // and those that it has not refused
    std::uint16_t port;
  };
  struct send_question {
    http::fields fields;
  };
  struct head_question {
    response head;
  };
  using question = std::variant<std::monostate, dial_question, http::redirect, send_question, head_question>;
  struct verdict {
    std::error_code refused;
    std::string detail;
  };
  using outcome = std::variant<std::monostate, error, std::unique_ptr<client_exchange>>;

  // Under mutex_.
  void begin();
  void hop();
  void with_place();
  void resolve();
  void connect(const resolver::answer& to);
  void dial(std::shared_ptr<const resolver::addresses> to);
  void connect_to_unix_socket();
  void advance_connector();
  void watch_attempts();
  void drop_attempts() noexcept;
  void connected(std::shared_ptr<client_connection> made);
  void ask_for_tunnel();
  void pump_tunnel();
  progress take_from_proxy(std::string_view bytes);
  void secure();
  void shake_hands();
  void ask(question about);
  void ask_hook(std::unique_lock<std::mutex>& lock);
  void go_on(std::monostate, const verdict&) {}
  void go_on(dial_question& about, const verdict& said);
  void go_on(http::redirect& about, const verdict& said);
  void go_on(send_question& about, const verdict& said);
  void go_on(head_question& about, const verdict& said);
  void transmit();
  void send_request();
  void write_head();
  void pump_out();
  part next_part();
  void source_returned() noexcept;
  void settle_uploads();
  void cut_off() noexcept;
  bool begin_body_again();
  void pump_in(bool to_the_end);
  progress take(std::string_view bytes);
  progress on_head();
  void open_download();
  progress on_piece(std::string_view bytes);
  progress on_answer(bool nothing_left);
  void on_close();
  void broken(int why);
  void redirect(bool keeps_connection);
  void lost(std::error_code code, std::string_view detail = {});
  void fail(std::error_code code, std::string_view detail = {});
  void fail_to_connect(std::error_code code, std::string_view detail);
  void finish(outcome what);
  void let_go(bool keep) noexcept;
  void set_alarm(clock::time_point at);
  void ring();
  [[nodiscard]] bool has_unsent() const noexcept {
    return std::ranges::any_of(unsent_, [](std::string_view each) { return !each.empty(); });
  }
  [[nodiscard]] bool all_sent() const noexcept {
    return !has_unsent() && !exchange_->cut_off && (!target_.body || body_over_) &&
           !exchange_->lease.connection->has_output();
  }
  /// Those of the caller, or what a hook has made of them.
  [[nodiscard]] const fields& sent_fields() const noexcept {
    return hooked_fields_ ? *hooked_fields_ : target_.what.fields();
  }
  /// Is the exchange with that number still under way?
  [[nodiscard]] bool goes_on(unsigned number) const noexcept {
    return phase_ != phase::over && exchange_ && exchange_number_ == number;
  }
  void enter(phase into) noexcept;
  [[nodiscard]] const char* phase_name() const noexcept;
  [[nodiscard]] bool streams() const noexcept { return std::holds_alternative<download_completion>(done_); }

  const std::shared_ptr<client_state> client_;
  const std::shared_ptr<loop> loop_;
  const context asked_with_;           // the caller's
  std::optional<cancel_scope> limit_;  // of the call; the loop's thread, and start()
  const context ctx_;                  // limit_'s, else the caller's

  // The loop's thread, and start().
  std::optional<on_done<on_end>> watch_;
  completion done_;

  std::mutex mutex_;
  // Guarded by mutex_.
  phase phase_ = phase::queued;
  clock::time_point entered_ = clock::now();
  timings timings_;
  bool begun_ = false;  // start() is through: only then may run() touch watch_
  bool delivered_ = false;
  outcome outcome_;
  call_target target_;
  const bool has_upload_;                      // at first; constant
  detail::open_task shown_;                    // by inspection; closed by the loop's thread
  std::shared_ptr<const proxy_server> proxy_;  // null: none
  std::shared_ptr<pool_origin> origin_;
  bool kept_ = false;  // the connection had been used before
  pool_waiter waiter_;
  resolver::ticket lookup_;
  std::shared_ptr<connector> connector_;
  std::vector<std::shared_ptr<attempt>> attempts_;
  question question_;
  bool asks_ = false;                          // a hook, or is about to: only an end moves the call meanwhile
  std::optional<http::fields> hooked_fields_;  // of this request
  std::optional<clock::time_point>
      alarm_at_;  // to be set by the loop's thread: one that is due rings at once
  std::shared_ptr<alarm> alarm_;

  std::unique_ptr<client_exchange> exchange_;
  unsigned exchange_number_ = 0;  // not its address tells it from the next one, which may get the same
  std::string out_;
  std::array<std::string_view, 3>
      unsent_{};  // the header or the size of a chunk; the body; the end of a chunk
  chunk_line chunk_line_;
  bool sent_some_ = false;
  bool body_over_ = false;        // of one that streams: there is nothing more to fetch
  bool send_more_ = false;        // after the work of others
  bool opens_later_ = false;      // the header of a download is there, and the body is not sent yet
  bool holds_body_back_ = false;  // until the server says that it wants it
  bool may_send_ = false;         // the server has just said so
  bool following_ = false;
  std::string location_;
  std::size_t ignored_ = 0;
  std::unique_ptr<decoder> decoder_;
  enum class decoding : unsigned char { none, begun, done } decoding_ = decoding::none;
};

}  // namespace curfew::http
