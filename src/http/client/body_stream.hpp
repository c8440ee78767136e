#pragma once

#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "http/client/client_connection.hpp"
#include "http/client/client_exchange.hpp"
#include "http/client/client_state.hpp"
#include "http/client/transfer.hpp"

namespace curfew::http {

/// The body of a download over http://, pulled by its reader: what nothing has asked for stays in the kernel, which
/// holds the sender back.
///
///     open ──the body's end──► complete        the connection goes to the pool
///       └──── an end ────────► failed          the connection is closed
///
/// A read takes what is there in its own thread; where nothing is, the connection enters the loop of that read and
/// wakes it. The ends: that of the context it was opened with, of the client, and of the download.
/// Each takes `mutex_`. The handler of a read is always posted, and owns the read.
class body_stream final : public download::transfer,
                          public connection_user,
                          public client_activity,
                          public std::enable_shared_from_this<body_stream> {
 public:
  /// \param doing  "GET http://host/ : reading the body"
  /// \param shown  The task of the call, which goes on until the body has come.
  static std::shared_ptr<body_stream> make(std::shared_ptr<client_state> of, const context& ctx,
                                           std::unique_ptr<client_exchange> exchange, std::string doing,
                                           detail::open_task shown);

  /// For make.
  body_stream(std::shared_ptr<client_state> of, context ctx, std::unique_ptr<client_exchange> exchange,
              std::string doing, detail::open_task shown);
  body_stream(const body_stream&) = delete;
  body_stream& operator=(const body_stream&) = delete;
  ~body_stream() override;

  [[nodiscard]] const response& head() const noexcept override { return exchange_->head; }
  void start_read(context reader_ctx, std::shared_ptr<loop> in, piece_completion complete) override;
  void drop() noexcept override;

  void on_socket(client_connection& c, std::uint32_t events) override;
  void client_gone() noexcept override;
  std::shared_ptr<client_activity> owned() noexcept override { return weak_from_this().lock(); }

 private:
  struct on_end {
    std::weak_ptr<body_stream> of;
    void operator()() const noexcept;
  };
  class waiting_read;
  class access;

  // Under mutex_.
  std::optional<piece> next();
  void understand(std::string_view bytes);
  bool enter(const std::shared_ptr<loop>& in);
  void end(std::optional<error> why) noexcept;

  void end_early(error why) noexcept;

  const context ctx_;
  const std::string doing_;
  std::optional<on_done<on_end>> watch_;

  std::mutex mutex_;
  // Guarded by mutex_; the head is constant.
  const std::unique_ptr<client_exchange> exchange_;
  std::string ready_;  // of the body, for the next read
  bool over_ = false;  // nothing comes after ready_
  std::optional<error> error_;
  std::weak_ptr<waiting_read> reader_;
  detail::open_task shown_;  // by inspection, until it is over
};

}  // namespace curfew::http
