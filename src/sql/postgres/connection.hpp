#pragma once

#include <libpq-fe.h>

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/sql/batch.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/listener.hpp>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/pool.hpp>
#include <curfew/sql/rows.hpp>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sql/postgres/address.hpp"
#include "sql/postgres/answer.hpp"
#include "sql/postgres/told_settings.hpp"
#include "sql/postgres/wait.hpp"
#include "sql/postgres/watched_socket.hpp"

namespace curfew::sql::postgres {

/// A connection to a server, and the statement that runs on it:
///
///          start            step: all is sent, all is received
///     idle ─────► dropping ─► preparing ─► executing ─► idle     dropping, preparing: if need be
///                                │ abandon()    ▲
///                                └──────────────┼─────► idle     what was not sent is not sent any more
///                                               └ a stale plan: again, once
///
/// A COPY is `copying` in the midst of `executing`, and `step` wants nothing while that is the caller's turn. One that takes
/// data and is abandoned then is failed by CopyFail, so that nothing of it is kept.
///
/// It does I/O in `step` alone, which does not block. The caller of `step` waits: `drive` in the calling thread, `async_drive`
/// in a coroutine, the janitor for many.
///
/// Thread safety: one thread at a time.
class connection {
 public:
  struct settings {
    std::string url;
    bool prepared;
    std::size_t statements;
    std::vector<std::string> on_connect;
    std::function<void(const notice&)> on_notice;
    address at;
  };
  /// How a statement is sent.
  enum class how : std::uint8_t {
    prepared,    ///< As settings say.
    streamed,    ///< The same; its rows are taken some at a time.
    once,        ///< With its parameters, and not kept.
    plain,       ///< Once: begin, commit.
    copied_in,   ///< A COPY that takes data, by put() and end_copy().
    copied_out,  ///< A COPY that gives data, a piece at a time.
  };

  /// To the first of the hosts that will have it. Blocks; ends with ctx.
  static result<std::unique_ptr<connection>> open(const context& ctx, const settings& with);
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection();

  /// Begins a statement. `with` lives until it is done or abandoned.
  /// Errors: nothing has begun then.
  [[nodiscard]] result<> start(std::string_view text, const parameters& with, how sent);
  /// The same of several, of which those behind one that fails are not run. `all` lives until they are done or abandoned.
  [[nodiscard]] result<> start(const batch& all);
  /// Goes on, as far as that is possible without waiting.
  /// \param readable  The socket is.
  wants step(bool readable);
  /// What the statement answered; once, after `step` has said nothing. Of one that is streamed: some of its rows; it is over
  /// when the connection is idle.
  result<rows> take();
  /// Of a batch, where `take` gives no error: what each has answered.
  std::vector<rows> take_batch() { return std::exchange(batch_rows_, {}); }
  /// Is it a COPY that takes or gives data now?
  [[nodiscard]] bool is_copying() const noexcept { return phase_ == phase::copying; }
  /// Of the data of a COPY, so that libpq does not hold much.
  static constexpr std::size_t piece_size = 64 * std::size_t{1024};
  /// Sends some of the data, a piece at most; `step` says whether that takes a wait.
  /// \return false: the connection is lost.
  [[nodiscard]] bool put(std::string_view some);
  /// That was all of it: the server says in `step` what has become of it.
  void end_copy();
  /// What a COPY has given; once, after `step` has said nothing. It is over when the connection is idle.
  result<std::string> take_piece();
  /// The caller waits no longer. What was not sent is not sent any more.
  void abandon();

  /// Of an idle one: a notification, if one has come.
  [[nodiscard]] std::optional<notification> take_notification();

  /// Nothing runs, and the server is there.
  [[nodiscard]] bool is_idle() const noexcept { return phase_ == phase::idle && !is_broken(); }
  [[nodiscard]] bool is_broken() const noexcept { return ::PQstatus(server_.get()) == CONNECTION_BAD; }
  [[nodiscard]] bool is_of_standby() const noexcept;
  [[nodiscard]] bool in_transaction() const noexcept {
    return ::PQtransactionStatus(server_.get()) != PQTRANS_IDLE;
  }
  /// Of an idle one: has the server left meanwhile? Looks at the socket, does not wait.
  [[nodiscard]] bool is_alive() noexcept;
  /// Has the statement been sent, in part at least, so that it may be carried out?
  [[nodiscard]] bool was_sent() const noexcept { return sent_; }
  /// "BEGIN", "COMMIT", "ROLLBACK": what was carried out last.
  [[nodiscard]] std::string_view tag() const noexcept { return tag_; }
  /// "select … : running".
  [[nodiscard]] std::string doing() const;

  /// The socket, for waits of this loop; libpq may close it in any step, this one stays.
  [[nodiscard]] boost::asio::posix::stream_descriptor& watched_by(const boost::asio::any_io_executor& loop);
  /// No loop waits for it any more.
  void unwatch() noexcept { watched_.reset(); }
  [[nodiscard]] int socket() const noexcept { return ::PQsocket(server_.get()); }
  [[nodiscard]] int process() const noexcept { return ::PQbackendPID(server_.get()); }
  /// The error of a connection that is lost, or of what it does not take.
  [[nodiscard]] error lost() const;
  /// Asks the server to cancel what runs, when it is called: blocks until the server has closed the connection that it makes
  /// for that. In any thread, also after the end of this.
  [[nodiscard]] std::function<void()> canceler() const;
  [[nodiscard]] const wake_event& waker() const noexcept { return waker_; }
  /// The settings of calls, as far as the server has been told of them, by statements like any other.
  [[nodiscard]] told_settings& told() noexcept { return told_; }

 private:
  enum class phase : std::uint8_t { idle, dropping, preparing, executing, copying, batching };
  /// One of the answers that a batch waits for.
  struct expected {
    std::size_t statement;      // of the batch
    std::string prepared_text;  // what is prepared; empty: it is run
  };
  struct finish {
    void operator()(PGconn* server) const noexcept { ::PQfinish(server); }
  };
  struct statement {
    std::string text;
    std::string name;
  };

  explicit connection(const settings& with) : with_(with) {}

  /// \param limit  Zero: none but ctx.
  static result<std::unique_ptr<connection>> open(const context& ctx, const settings& with, const host& at,
                                                  clock::duration limit);
  [[nodiscard]] result<> connect(const context& ctx, const host& at);
  [[nodiscard]] result<> set_up(const context& ctx);
  /// For libpq.
  static void take_notice(void* self, const PGresult* notice) noexcept;
  /// Why a text is not sent at all, if it is not.
  [[nodiscard]] static std::optional<error> unsendable(std::string_view text);
  /// Sends what this phase is for.
  /// \return false: it cannot be sent; why is in failed_.
  [[nodiscard]] bool send(phase next);
  [[nodiscard]] int send_execution();
  /// Looks for the statement among those that are prepared.
  [[nodiscard]] phase first_phase();
  /// The server is ready for the next query.
  void on_ready();
  void on_answer(answer_ptr answer);
  void on_batch_answer(answer_ptr answer);
  /// Unless nobody wants them.
  void keep_rows(answer_ptr answer);
  void keep_row(const PGresult* row);
  [[nodiscard]] bool send_batch(const batch& all, const std::vector<encoded>& values);
  /// A new statement begins.
  void reset(std::string_view text, how sent);
  /// It is the caller's turn.
  [[nodiscard]] bool has_enough() const noexcept;
  /// \return false: the COPY is not what was asked for.
  [[nodiscard]] bool begin_copy(ExecStatusType status);
  /// \return false: more has to come first.
  [[nodiscard]] bool take_row();
  void fail_copy();
  void keep_statement(std::string_view text, const std::string& name);
  /// \param is_there  In the server.
  void forget(std::string_view text, bool is_there);
  [[nodiscard]] std::string next_name();
  void refuse_copy(const std::string& what);
  void end() noexcept;

  const settings with_;
  std::unique_ptr<PGconn, finish> server_;
  wake_event waker_;
  std::optional<watched_socket> watched_;  // destroyed before the server's end is told
  bool is_told_to_go_ = false;             // by the server
  bool gives_some_rows_ = false;           // libpq does, as of the last statement, which was streamed

  // Prepared statements: the last one used first.
  std::list<statement> statements_;
  std::unordered_map<std::string_view, std::list<statement>::iterator> by_text_;
  std::vector<std::string> dropped_;  // names that the server still has
  std::uint64_t last_name_ = 0;

  told_settings told_;

  // Of the statement that runs.
  phase phase_ = phase::idle;
  how how_ = how::plain;
  std::string text_;               // its own: it is looked at when the caller has gone, too
  std::optional<encoded> values_;  // none once it is abandoned
  std::string name_;               // of the prepared statement; empty: none
  bool unsent_ = false;            // libpq holds bytes of it
  bool sent_ = false;
  bool stale_ = false;    // its plan
  bool retried_ = false;  // for that
  bool drop_failed_ = false;
  std::optional<error> failed_;
  std::optional<decoder> columns_;
  std::vector<answer_ptr> answers_;        // whole ones, or many of the rows that are streamed
  std::optional<gathered_rows> gathered_;  // which libpq may give one by one
  std::size_t rows_ = 0;                   // in them
  std::string piece_;                      // of a COPY
  std::size_t unflushed_ = 0;              // bytes of one that libpq may hold
  std::vector<expected> expected_;         // of a batch
  std::size_t next_expected_ = 0;
  std::vector<std::string> batch_texts_;  // shortened
  std::vector<rows> batch_rows_;
  std::string tag_;
};

}  // namespace curfew::sql::postgres
