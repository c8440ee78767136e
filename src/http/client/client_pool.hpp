#pragma once

#include <atomic>
#include <cstddef>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/on_done.hpp>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "http/client/client_connection.hpp"
#include "http/wire/loop.hpp"

namespace curfew::http {

/// What waits in the queue for a connection to one origin, or for the place of one. The pool's, under its lock, from
/// enter() until it has been granted or withdrawn.
struct pool_waiter {
  std::weak_ptr<job> woken;  ///< Run in `in` when it has been granted.
  std::shared_ptr<loop> in;
  std::shared_ptr<client_connection> connection;  ///< What it was granted; null: the place alone.
  std::atomic<bool> granted{false};
  bool queued = false;
  std::list<pool_waiter*>::iterator at;
};

/// The connections to one server, kept and lent. All of it is the pool's, under its lock.
struct pool_origin {
  struct kept {
    std::shared_ptr<client_connection> connection;
    clock::time_point since;
  };

  std::vector<kept> idle;  // the oldest first
  std::size_t places = 0;  // of those lent and idle
  std::list<pool_waiter*> queue;
};

/// The connections that a client keeps for the next request, by origin.
///
/// A place stands for one connection, be it lent, idle or still to be made. It is given by enter() or the grant of a
/// waiter, and goes with give_back() or leave(). The queue of an origin is served in its order.
/// Thread safety: any thread. Nothing is closed, and no job is run, under the lock.
class client_pool : public std::enable_shared_from_this<client_pool> {
 public:
  struct limits {
    std::size_t idle;        ///< In all.
    std::size_t per_origin;  ///< 0: none.
    clock::duration idle_time;
    clock::duration life_time{};  ///< 0: none.
  };

  explicit client_pool(limits l) : limits_(l) {}

  /// "http://127.0.0.1:8080"
  std::shared_ptr<pool_origin> find(const std::string& origin);

  /// Takes a place, and the newest idle connection that is still good, if there is one; rather one of that loop.
  /// \return false: there is no place; `w` is in the queue.
  bool enter(pool_origin& to, pool_waiter& w, const loop* rather);
  /// Leaves the queue.
  /// \return false: it was not there, or has been granted something meanwhile.
  bool withdraw(pool_origin& from, pool_waiter& w);

  /// A connection that may be used again, with its place.
  void give_back(std::shared_ptr<client_connection> one);
  /// A place whose connection is closed, or never came to be.
  void leave(pool_origin& from);
  /// An idle one has got bytes, or its end: closes it.
  void spoilt(client_connection& one);

  /// Closes the idle ones.
  void close_idle();
  /// The same, and keeps none from now on.
  void close();

 private:
  struct expiry {
    std::weak_ptr<client_pool> of;
    void operator()() const noexcept {
      if (const auto p = of.lock()) p->expire();
    }
  };
  /// The time when the oldest idle one is to go.
  struct alarm {
    cancel_scope scope;
    on_done<expiry> rings;
    alarm(clock::duration after, std::weak_ptr<client_pool> of)
        : scope(with_timeout(background(), after)),
          rings(scope.ctx(), expiry{std::move(of)}) {}
  };
  using connections = std::vector<std::shared_ptr<client_connection>>;

  /// An alarm that is to be set: outside of the lock, since one that is due rings at once. Any later one replaces it.
  struct alarm_order {
    clock::duration after;
    unsigned number;
  };

  [[nodiscard]] bool is_too_old(const client_connection& one) const;
  void keep(std::shared_ptr<client_connection> one, connections& over);  // under mutex_
  std::optional<alarm_order> order_alarm(clock::time_point now);         // under mutex_
  void set_alarm(const std::optional<alarm_order>& order);
  /// A waiter that has been granted something, to be woken without the lock.
  struct wake {
    std::shared_ptr<job> who;
    std::shared_ptr<loop> in;
    void operator()() {
      if (who) in->later(std::move(who));
    }
  };
  wake grant(pool_origin& of, std::shared_ptr<client_connection> one);  // under mutex_
  void expire();

  const limits limits_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::unordered_map<std::string, std::shared_ptr<pool_origin>> origins_;
  std::size_t idle_ = 0;
  bool closed_ = false;
  unsigned alarm_number_ = 0;  // of the last one ordered
  bool alarmed_ = false;
  std::unique_ptr<alarm> alarm_;
};

/// A place, with the connection in it once there is one. What is not given back is closed.
class client_lease {
 public:
  client_lease() noexcept = default;
  client_lease(std::shared_ptr<client_pool> of, std::shared_ptr<pool_origin> origin) noexcept
      : pool_(std::move(of)),
        origin_(std::move(origin)) {}
  client_lease(client_lease&& other) noexcept = default;
  client_lease& operator=(client_lease&& other) noexcept {
    client_lease taken(std::move(other));
    std::swap(pool_, taken.pool_);
    std::swap(origin_, taken.origin_);
    std::swap(connection, taken.connection);
    return *this;
  }
  ~client_lease() {
    if (!pool_) return;
    if (connection) connection->close();
    pool_->leave(*origin_);
  }

  /// The connection may be used again.
  void give_back() { std::exchange(pool_, nullptr)->give_back(std::move(connection)); }
  /// Puts a connection that has been made into it.
  void enter(std::shared_ptr<client_connection> made) noexcept {
    made->pool = pool_;
    made->origin = origin_;
    connection = std::move(made);
  }

  std::shared_ptr<client_connection> connection;

 private:
  std::shared_ptr<client_pool> pool_;
  std::shared_ptr<pool_origin> origin_;
};

}  // namespace curfew::http
