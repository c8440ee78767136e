#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/message.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace curfew::http {

/// What sends an upload.
class upload_user {
 public:
  upload_user() = default;
  upload_user(const upload_user&) = delete;
  upload_user& operator=(const upload_user&) = delete;
  virtual ~upload_user() = default;
  /// look() may say something new, or the source has returned. In any thread, without a lock.
  virtual void upload_ready() noexcept = 0;
};

/// The body of a request where it is not in memory, pulled by what sends it.
///
/// Thread safety: one thread at a time: look(), consumed(), rewind() and stop() are called under the lock of
/// a call. They call nothing of the user's; settle() does, and so is called without a lock.
class upload {
 public:
  enum class state {
    bytes,
    waits,   ///< upload_ready() will say when to look again.
    over,    ///< There is nothing more.
    failed,  ///< `failure` says why.
  };

  upload() = default;
  upload(const upload&) = delete;
  upload& operator=(const upload&) = delete;
  virtual ~upload() = default;

  /// The body of `what`, which streams.
  /// \param runs_source  Where a source runs; unused for a file.
  /// \return an error with the code and what was being done: "opening the file x".
  static result<std::shared_ptr<upload>> open(const request& what, const context& ctx,
                                              const boost::asio::any_io_executor& runs_source);

  /// Of the whole body, if it is known.
  [[nodiscard]] virtual std::optional<std::uint64_t> length() const noexcept = 0;

  /// What comes next. `bytes` is valid until all of it has been consumed, or rewind() or stop().
  virtual state look(std::string_view& bytes) = 0;
  virtual void consumed(std::size_t count) = 0;
  /// Begins again. \return false: it cannot.
  [[nodiscard]] virtual bool rewind() = 0;
  /// The rest is in vain: look() waits from now on.
  virtual void stop() noexcept = 0;
  /// Tells the source what stop() and rewind() have done.
  virtual void settle() noexcept = 0;
  /// Is no source running?
  [[nodiscard]] virtual bool is_done() const = 0;
  /// The same; if not, `then` is called when it has returned, in its thread.
  [[nodiscard]] virtual bool when_done(std::function<void()> then) = 0;

  /// After `failed`, for call_target::failed().
  [[nodiscard]] virtual std::error_code failure() const = 0;
  [[nodiscard]] virtual std::string detail() const = 0;

  /// From now on `by` sends it.
  virtual void used_by(std::weak_ptr<upload_user> by) = 0;
};

}  // namespace curfew::http
