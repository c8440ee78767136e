#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/context.hpp>
#include <curfew/io/detail/local_handler.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "http/client/upload.hpp"
#include "http/message/message_access.hpp"

namespace curfew::http {

/// What a source writes, handed to what sends it, one write at a time.
///
///     idle ──look()──► running ──it returns──► returned        stop(): from anywhere to stopped
///      ▲                  └─rewind()─► leaving ──it returns─┐
///      ├────────────────────────────────────────────────────┘
///      └──rewind()── returned
///
/// The source runs on its executor, where a write puts its bytes into pending_ and waits until they are consumed. Two runs
/// never overlap: one that is told to leave has returned before the next begins.
///
/// Invariants:
/// 1. pending_ is not touched by the source while something of it is left: what sends has a view of it.
/// 2. A run is started by a handler that waits on the executor, made there or in the thread that makes the call. So no other
///    thread posts to an io_context that may be gone, and one that is destroyed takes the handler along.
/// 3. Lock order: a call's lock, then mutex_. No code of the user's, and none of a call, runs under mutex_.
class source_upload final : public upload, public std::enable_shared_from_this<source_upload> {
 public:
  static std::shared_ptr<source_upload> make(std::shared_ptr<const request_access::streamed_body> what,
                                             context ctx, boost::asio::any_io_executor runs,
                                             std::optional<std::uint64_t> length);
  /// For make.
  source_upload(std::shared_ptr<const request_access::streamed_body> what, context ctx,
                boost::asio::any_io_executor runs, std::optional<std::uint64_t> length);
  source_upload(const source_upload&) = delete;
  source_upload& operator=(const source_upload&) = delete;
  ~source_upload() override;

  [[nodiscard]] std::optional<std::uint64_t> length() const noexcept override { return length_; }
  state look(std::string_view& bytes) override;
  void consumed(std::size_t count) override;
  [[nodiscard]] bool rewind() override;
  void stop() noexcept override;
  void settle() noexcept override;
  [[nodiscard]] bool is_done() const override;
  [[nodiscard]] bool when_done(std::function<void()> then) override;
  [[nodiscard]] std::error_code failure() const override;
  [[nodiscard]] std::string detail() const override;
  void used_by(std::weak_ptr<upload_user> by) override;

 private:
  enum class at : unsigned char { idle, starting, running, leaving, returned };
  class run;
  class ending;
  using starter = std::shared_ptr<detail::local_completion<bool>>;

  [[nodiscard]] starter make_starter();
  void begin();
  static boost::asio::awaitable<void> carry_out(std::shared_ptr<source_upload> self, std::shared_ptr<run> to,
                                                context ctx);
  void returned(run& from, std::error_code why, std::string detail, bool in_its_thread) noexcept;
  [[nodiscard]] std::optional<error> put(const run& from, std::string& bytes);
  void give_up(const run& from, const context& ctx);
  void fail(std::error_code why, std::string detail);  // under mutex_
  void tell() noexcept;

  const std::shared_ptr<const request_access::streamed_body> what_;
  const context ctx_;
  const boost::asio::any_io_executor runs_;
  const std::optional<std::uint64_t> length_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  at at_ = at::idle;
  bool stopped_ = false;
  starter starter_;                    // of the next run
  std::shared_ptr<run> run_;           // while it runs
  std::optional<cancel_scope> scope_;  // of run_
  canceler ends_;                      // scope_
  bool to_be_told_ = false;            // that it is to leave
  std::string pending_;
  std::size_t taken_ = 0;  // of pending_
  std::uint64_t written_ = 0;
  std::error_code failure_;
  std::string detail_;
  std::function<void()> then_;
  std::weak_ptr<upload_user> user_;
};

}  // namespace curfew::http
