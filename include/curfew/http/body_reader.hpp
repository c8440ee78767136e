#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace curfew::http {

/// Reads the body of a request, as it comes: `request.reader()`, in a handler whose route has `stream_body()`. A cheap
/// handle; it is of use until the response is complete.
///
///     http::router routes;
///     routes.put("/upload", upload, http::route_options().stream_body().max_body_size(1 << 30));
///
/// Without a reader the client is held back: what it sends stays in the kernel's buffer, and no more than one piece is
/// kept here. A client that waits for 100 Continue gets that with the first read.
/// A handler may answer before the end. If what remains is small the connection is kept, else it is closed once the answer
/// has arrived.
///
/// All reads, of the `async_` ones in the connection's thread:
/// Completes when:  there are bytes, the body ends, fails, or `ctx` ends.
/// Errors:          the context's end, with cause errc::client_gone where the client has left; errc::too_large beyond the
///                  route's max_body_size, or the call's `most`; std::errc::bad_message for what is not HTTP;
///                  std::errc::timed_out where the client is too slow (server_options::body_timeout);
///                  errc::connection_lost. The next read gets the same.
///                  std::errc::operation_in_progress while another read is under way;
///                  std::errc::operation_not_permitted once the response is complete, and for a route without
///                  stream_body().
/// Cancellation:    of `ctx` takes nothing: the next call gets the bytes.
/// Thread safety:   `async_` reads: the connection's thread only. Blocking ones: any other thread, as in http::blocking;
///                  never the connection's, which they wait for.
class body_reader {
 public:
  static constexpr std::uint64_t no_limit = UINT64_MAX;

  /// The next piece, of at most about 128 KiB; none at the end.
  [[nodiscard]] boost::asio::awaitable<result<std::optional<std::string>>> async_read(context ctx) const;
  /// All that is still to come.
  /// \param most  Bytes; more is too_large.
  [[nodiscard]] boost::asio::awaitable<result<std::string>> async_read_all(
      context ctx, std::uint64_t most = no_limit) const;
  /// Writes all that is still to come to a file, in a thread of thread_pool::shared(). It replaces a file of that name,
  /// and removes it again if it fails.
  /// \return bytes written.
  /// Errors:  also those of the system.
  [[nodiscard]] boost::asio::awaitable<result<std::uint64_t>> async_save(context ctx, std::string path,
                                                                         std::uint64_t most = no_limit) const;

  [[nodiscard]] result<std::optional<std::string>> read(const context& ctx) const;
  [[nodiscard]] result<std::string> read_all(const context& ctx, std::uint64_t most = no_limit) const;
  [[nodiscard]] result<std::uint64_t> save(const context& ctx, const std::string& path,
                                           std::uint64_t most = no_limit) const;

  struct source;  // the connection's side
  /// Of no body.
  body_reader() noexcept = default;
  explicit body_reader(std::shared_ptr<source> from) noexcept : source_(std::move(from)) {}

 private:
  std::shared_ptr<source> source_;
};

}  // namespace curfew::http
