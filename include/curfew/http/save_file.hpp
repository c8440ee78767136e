#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/message.hpp>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace curfew::http {

/// How far a file has come.
struct save_progress {
  std::uint64_t size = 0;              ///< Bytes that are there, with those of before.
  std::optional<std::uint64_t> total;  ///< Of the whole file, if the server says it.
};

/// How a file is saved. Each setter returns the options, so they can be chained.
class save_options {
 public:
  /// Largest file, in bytes; more is errc::too_large. Default: no limit.
  save_options& max_size(std::uint64_t bytes) { return max_size_ = bytes, *this; }
  [[nodiscard]] std::optional<std::uint64_t> max_size() const noexcept { return max_size_; }
  /// Keep what has come when it fails, and go on from there the next time? Default: yes.
  save_options& resume(bool yes) { return resume_ = yes, *this; }
  [[nodiscard]] bool resume() const noexcept { return resume_; }
  /// Have the file on the disk, not only with the kernel, before it gets its name? Default: no.
  save_options& sync(bool yes) { return sync_ = yes, *this; }
  [[nodiscard]] bool sync() const noexcept { return sync_; }
  /// Called after each piece, in the thread that saves.
  save_options& on_progress(std::function<void(save_progress)> f) {
    return on_progress_ = std::move(f), *this;
  }
  [[nodiscard]] const std::function<void(save_progress)>& on_progress() const noexcept {
    return on_progress_;
  }

 private:
  std::optional<std::uint64_t> max_size_;
  bool resume_ = true;
  bool sync_ = false;
  std::function<void(save_progress)> on_progress_;
};

/// A file that has been saved.
struct saved_file {
  std::uint64_t size = 0;
  std::uint64_t resumed_at = 0;  ///< Where an earlier call had come to; 0: all of it is new.
};

/// Saves the body of a response as a file.
///
///     auto saved = http::save_file(ctx, http::client::shared(), http::request("GET", url), "debian.iso");
///     if (!saved) return saved.error();
///
/// It grows as `<path>.part` and is renamed when it is complete; until then nothing happens to a file that is there. If it
/// fails, what has come stays, with `<path>.part.from`, which says of what version it is. The next call for the same URL
/// asks for the rest alone, if the file is still the same there (Range, If-Range); else it begins again.
///
/// \param what  Any method but HEAD; only GET is resumed. Without Range and If-Range, which are set here.
/// Completes when:  the file has its name, or it fails, or `ctx` ends.
/// Errors:          those of client::open and download::read; std::errc::protocol_error for an answer that is neither 200
///                  nor the rest, with its status in the text; errc::too_large; errc::bad_response for a range that was
///                  not asked for, and for a coding; the system's codes, with the file's name, and
///                  std::errc::device_or_resource_busy if another call is saving it.
/// Cancellation:    the connection is closed; what has come stays.
/// Lifetime:        the client lives until completion.
/// Thread safety:   any thread. Files are written in the calling thread.
[[nodiscard]] result<saved_file> save_file(const context& ctx, client& by, request what, std::string path,
                                           save_options options = save_options());

/// The same for coroutines. Files are written in the coroutine's thread.
[[nodiscard]] boost::asio::awaitable<result<saved_file>> async_save_file(
    context ctx, client& by, request what, std::string path, save_options options = save_options());

}  // namespace curfew::http
