#pragma once

#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/tls/detail/engine.hpp>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>

#include "http/wire/descriptor.hpp"
#include "http/wire/loop.hpp"

namespace curfew::http {

class client_pool;
struct pool_origin;

/// What a connection belongs to: hears its events.
class connection_user {
 public:
  virtual ~connection_user() = default;
  /// In the thread of the connection's loop. `c` may have been given away meanwhile: the user's lock tells.
  virtual void on_socket(class client_connection& c, std::uint32_t events) = 0;
};

/// A client's connection, plain or over TLS, while it is in a loop's epoll set. A loop that takes it over makes another of
/// these.
///
///     used ──give back──► idle ──take──► used          any ──close() or move()──► gone
///
/// An event that is under way may find any of the three: `mutex_` decides. A used one tells its user; an idle one that
/// gets bytes, or an end, which nobody has asked for, is closed; one that is gone ignores it. Over TLS the bytes of a
/// session that may be resumed, or of other keys, are no such bytes: so an idle one reads, and what it finds spoils it.
/// Thread safety: any thread; read(), write() and handshake() are for its user, under the user's lock.
class client_connection final : public watched, public std::enable_shared_from_this<client_connection> {
 public:
  /// For make.
  client_connection(std::shared_ptr<loop> in, descriptor socket) noexcept
      : loop_(std::move(in)),
        socket_(std::move(socket)) {}

  /// Enters the socket into the loop's set. Null, with errno, where the system refuses: the socket is closed.
  static std::shared_ptr<client_connection> make(std::shared_ptr<loop> in, descriptor socket,
                                                 std::weak_ptr<connection_user> user);
  /// Takes over a socket that is in the loop's set already.
  static std::shared_ptr<client_connection> take_over(std::shared_ptr<loop> in, descriptor socket,
                                                      std::weak_ptr<connection_user> user);

  void on_event(std::uint32_t events) override;

  /// From now on `user` hears of it; none: it is idle, and the pool hears when it is spoilt.
  void belongs_to(std::weak_ptr<connection_user> user) noexcept;
  /// Is there nothing to read, and has the server not closed it? For one that was idle.
  [[nodiscard]] bool is_quiet() noexcept;

  /// From now on it speaks TLS. Nothing of what comes behind has been read.
  void encrypt(std::unique_ptr<tls::engine> with) noexcept { tls_ = std::move(with); }
  /// Null: it is plain.
  [[nodiscard]] tls::engine* tls() const noexcept { return tls_.get(); }
  /// As recv(): with errno EPROTO for a breach of TLS, which tls()->failure() tells. A plain one that gives less than there
  /// is room has nothing more for now.
  ssize_t read(std::span<char> into) noexcept;
  /// As send_parts(), and as tls::engine::write().
  ssize_t write(std::span<std::string_view> parts) noexcept;
  /// Is there something that has been written and that the socket has not taken?
  [[nodiscard]] bool has_output() const noexcept { return tls_ && tls_->has_output(); }

  void close() noexcept;
  /// The same connection in another loop; null, with errno, where the system refuses.
  std::shared_ptr<client_connection> move_to(std::shared_ptr<loop> other,
                                             std::weak_ptr<connection_user> user);

  /// Valid until close() or move_to().
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  [[nodiscard]] const std::shared_ptr<loop>& in() const noexcept { return loop_; }

  /// Whom a spoilt idle one is told to, and where it counts there. Set before it is idle for the first time.
  std::weak_ptr<client_pool> pool;
  std::shared_ptr<pool_origin> origin;
  clock::time_point made = clock::now();

 private:
  struct remains {
    descriptor socket;
    std::unique_ptr<tls::engine> tls;
  };

  remains leave() noexcept;
  bool find_quiet() noexcept;  // under mutex_, while it is idle

  const std::shared_ptr<loop> loop_;
  std::mutex mutex_;
  descriptor socket_;                    // changed under mutex_
  std::unique_ptr<tls::engine> tls_;     // its user's; while it is idle, guarded by mutex_
  bool spoilt_ = false;                  // as tls_: it has got what nobody has asked for
  std::weak_ptr<connection_user> user_;  // guarded by mutex_
  bool used_ = true;                     // guarded by mutex_
  bool gone_ = false;                    // guarded by mutex_
};

}  // namespace curfew::http
