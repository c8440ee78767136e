#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "http/wire/loop.hpp"
#include "http/wire/regular_file.hpp"

namespace curfew::http {

/// What carries a connection's bytes: it owns the descriptor, and knows what events have said of it. Plain TCP is one;
/// what encrypts is another, whose reads may write and whose writes may read. So an event names no direction: after
/// each, all that waits tries again. A connection that encrypts begins in plain, and another transport takes the socket
/// over.
///
///     readable ──read() finds nothing──► drained ──on_event()──► readable
///
///     open ──RDHUP, or read() finds the end──► half_closed ──read() finds the end──► at_end
///       └──────ERR, HUP, or an error of read() or write()──────► gone      (from any state)
///       └──────close()──────► closed                                       (from any state)
///
/// Races:
/// - An event of before close() that is handled after it: on_event() of a closed one does nothing.
/// - The end is told (RDHUP) before all bytes are read: `half_closed` says that there is one, `at_end` that the bytes
///   before it have been read. An event that has been told does not come again, so a half-closed one stays readable.
/// - The descriptor is reused in the batch of events that closed it: the loop names what watches, not the descriptor,
///   and keeps that to the end of the batch.
///
/// Thread: the loop's.
class transport {
 public:
  enum class written { all, blocked, failed };

  transport(loop& on, int socket) noexcept : loop_(on), socket_(socket) {}
  transport(const transport&) = delete;
  transport& operator=(const transport&) = delete;
  virtual ~transport() { close(); }  // one that has a goodbye to say closes before

  /// Has the loop tell `by` of events. If it cannot, this is gone.
  void watch(watched& by) noexcept;
  /// Notes what an event says.
  virtual void on_event(std::uint32_t events) noexcept;

  /// What the socket has, and keeps. Empty: as read() of nothing.
  std::string_view peek(std::span<char> into) noexcept;
  /// Takes off it what peek() has shown, or a part of that.
  void skip(std::size_t size) noexcept;

  /// Reads into `into`. \return how many bytes; 0: none for now, or no more at all, see `may_read`.
  virtual std::size_t read(std::span<char> into) noexcept = 0;
  /// Sends as much of the parts as can be now, and takes it off their front.
  virtual written write(std::span<std::string_view> parts) noexcept = 0;
  /// The same for a file; reading it may hold the thread. `failed` with `rest.failure`: of the file.
  virtual written write(file_rest& rest) noexcept;
  /// Bytes that write() has taken, and the socket not yet.
  [[nodiscard]] virtual std::size_t kept() const noexcept { return 0; }
  /// Nothing more will be written. What looks like a reset from now on may be the client's half-close.
  virtual void finish() noexcept = 0;
  /// \param reset  So that the client can tell it from an orderly end.
  void close(bool reset = false) noexcept;

  /// May a read find something?
  [[nodiscard]] bool may_read() const noexcept { return readable_ && !ended(); }
  /// The client sends nothing more.
  [[nodiscard]] bool half_closed() const noexcept { return half_closed_; }
  /// Everything that the client sent has been read.
  [[nodiscard]] bool at_end() const noexcept { return at_end_; }
  /// Neither direction is of use.
  [[nodiscard]] bool gone() const noexcept { return gone_; }
  /// Nothing more is to be read.
  [[nodiscard]] bool ended() const noexcept { return gone_ || at_end_; }
  [[nodiscard]] bool closed() const noexcept { return socket_ < 0; }

 protected:
  /// Takes the socket of another, which is closed from now on. Its events go on.
  transport(transport& from) noexcept;
  /// Says that this is an orderly end.
  virtual void say_goodbye() noexcept {}

  loop& loop_;
  int socket_;
  bool readable_ = true;
  bool half_closed_ = false;
  bool at_end_ = false;
  bool gone_ = false;
  bool finished_ = false;
};

/// TCP, or a Unix socket.
class plain_transport final : public transport {
 public:
  using transport::transport;
  /// Goes on in plain.
  explicit plain_transport(transport& from) noexcept : transport(from) {}

  std::size_t read(std::span<char> into) noexcept override;
  written write(std::span<std::string_view> parts) noexcept override;
  /// The kernel sends it, without a copy.
  written write(file_rest& rest) noexcept override;
  void finish() noexcept override;
};

}  // namespace curfew::http
