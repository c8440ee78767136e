#pragma once

#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <curfew/core/after_func.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/io/detail/await_with.hpp>
#include <curfew/sync/detail/outcome.hpp>
#include <curfew/sync/semaphore.hpp>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace curfew {

/// How many things a pool holds, and for how long. Each setter returns the options, so they can be chained; the
/// overload without an argument reads the option.
class pool_options {
 public:
  /// Things alive at a time, lent and idle together. Default: 0, which is no limit.
  pool_options& capacity(std::size_t count) { return capacity_ = count, *this; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// Things kept for the next use. Default: 64; 0: none.
  pool_options& max_idle(std::size_t count) { return max_idle_ = count, *this; }
  [[nodiscard]] std::size_t max_idle() const noexcept { return max_idle_; }
  /// How long a thing is kept without a use. Default: 1 minute; 0: no limit.
  pool_options& idle_time(clock::duration d) { return idle_time_ = d, *this; }
  [[nodiscard]] clock::duration idle_time() const noexcept { return idle_time_; }
  /// Age from which a thing is not used again; one that is lent stays until it is given back. Default: 0, which
  /// is no limit.
  pool_options& life_time(clock::duration d) { return life_time_ = d, *this; }
  [[nodiscard]] clock::duration life_time() const noexcept { return life_time_; }

 private:
  std::size_t capacity_ = 0;
  std::size_t max_idle_ = 64;
  clock::duration idle_time_ = std::chrono::minutes(1);
  clock::duration life_time_ = clock::duration::zero();
};

/// What a pool holds at a moment.
struct pool_stats {
  std::size_t idle = 0;
  std::size_t lent = 0;     ///< Lent, or being made, checked or destroyed.
  std::size_t waiting = 0;  ///< Calls that wait for a place.

  [[nodiscard]] std::size_t size() const noexcept { return idle + lent; }
};

namespace detail {

/// What a pool does that does not depend on its things: places, the queue for them, the alarm.
///
/// Invariants
///  1. A permit of places_ is held for each thing that is lent, being made, checked or destroyed. An idle thing holds
///     none. A thing is made only by the holder of a permit that has found nothing idle, under the lock; so
///     things never exceed the capacity.
///  2. A thing that leaves the idle ones is destroyed by the holder of a permit, unless the pool is closed.
///  3. No thing is moved, checked or destroyed, and no alarm set or dropped, under the lock.
class pool_base : public std::enable_shared_from_this<pool_base> {
 public:
  pool_base(pool_options options, const context& ctx);
  pool_base(const pool_base&) = delete;
  pool_base& operator=(const pool_base&) = delete;
  virtual ~pool_base() = default;

  [[nodiscard]] result<semaphore::permit> enter(const context& ctx);
  /// The caller keeps this alive.
  [[nodiscard]] boost::asio::awaitable<result<semaphore::permit>> async_enter(context ctx);
  [[nodiscard]] static error closed();

 protected:
  [[nodiscard]] clock::time_point now() const noexcept { return clock_.now(); }
  /// Sets the alarm, unless it rings early enough. Without memory nothing is set: the next use does it.
  void arm(clock::time_point not_before) noexcept;
  /// Drops the alarm, and ends what waits.
  void end_waits() noexcept;
  /// Destroys what is too old. Any thread, under no lock.
  virtual void expire() noexcept = 0;
  /// When the first idle thing will be too old. Under mutex_.
  [[nodiscard]] virtual std::optional<clock::time_point> next_expiry() const noexcept = 0;

  const pool_options options_;
  const context clock_;
  cancel_scope closing_;
  semaphore places_;
  std::atomic<std::size_t> waiting_{0};

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  bool closed_ = false;
  std::optional<clock::time_point> alarm_at_;

 private:
  struct alarm {
    cancel_scope scope;
    after_func_handle rings;

    alarm(const context& ctx, clock::time_point at, std::weak_ptr<pool_base> of);
    alarm(const alarm&) = delete;
    alarm& operator=(const alarm&) = delete;
    ~alarm() { rings.stop(); }
  };

  [[nodiscard]] error refusal(const context& ctx, const error& otherwise) const;

  // Guarded by mutex_.
  unsigned alarm_number_ = 0;
  std::unique_ptr<alarm> alarm_;
};

template <class T>
class pool_state final : public pool_base {
 public:
  struct entry {
    T thing;
    clock::time_point made;
    clock::time_point since;  // idle
  };
  /// Of one entry, or none: an entry goes from one list to another and is not moved.
  using entries = std::list<entry>;

  pool_state(pool_options options, std::function<bool(T&)> is_alive, const context& ctx)
      : pool_base(options, ctx),
        is_alive_(std::move(is_alive)) {}

  /// The newest idle thing that is good; none: one is to be made. Held: a permit.
  result<entries> take() {
    for (;;) {
      entries one;
      {
        const std::lock_guard guard(mutex_);
        if (closed_) return closed();
        if (!idle_.empty()) one.splice(one.end(), idle_, std::prev(idle_.end()));
      }
      if (one.empty() || (expiry(one.front()) > now() && (!is_alive_ || is_alive_(one.front().thing))))
        return one;
    }
  }

  result<entries> keep_made(T&& thing) {
    entries one;
    const auto made = now();
    one.push_back({std::move(thing), made, made});
    const std::lock_guard guard(mutex_);
    if (closed_) return closed();
    return one;
  }

  void give_back(entries one, semaphore::permit place) noexcept {
    const auto at = now();
    one.front().since = at;
    if (expiry(one.front()) > at) {
      const std::lock_guard guard(mutex_);
      if (!closed_ && idle_.size() < options_.max_idle()) idle_.splice(idle_.end(), one);
    }
    one.clear();
    place.release();
    arm(at);
  }

  void close_idle() noexcept { destroy_idle(clock::time_point::max()); }

  void close() noexcept {
    entries all;
    {
      const std::lock_guard guard(mutex_);
      closed_ = true;
      all.swap(idle_);
    }
    end_waits();
  }

  [[nodiscard]] pool_stats stats() const {
    const std::lock_guard guard(mutex_);
    return {idle_.size(), places_.capacity() - places_.available(), waiting_};
  }

 private:
  [[nodiscard]] clock::time_point expiry(const entry& e) const noexcept {
    auto at = clock::time_point::max();
    const auto limit = [&at](clock::time_point from, clock::duration d) {
      if (d > clock::duration::zero() && d < at - from) at = from + d;
    };
    limit(e.since, options_.idle_time());
    limit(e.made, options_.life_time());
    return at;
  }

  [[nodiscard]] std::optional<clock::time_point> next_expiry() const noexcept override {
    auto first = clock::time_point::max();
    for (const entry& each : idle_) first = std::min(first, expiry(each));
    if (first == clock::time_point::max()) return std::nullopt;
    return first;
  }

  void expire() noexcept override {
    // Where no place is free, a call is between its place and its thing: another look soon.
    constexpr auto soon = std::chrono::milliseconds(100);
    const auto at = now();
    arm(destroy_idle(at) ? at : at + soon);
  }

  /// Destroys the idle things that expire until then.
  /// \return false: no place was free, some may be left.
  bool destroy_idle(clock::time_point until) noexcept {
    for (;;) {
      const auto place = places_.try_acquire();
      entries old;  // destroyed before the place is released
      const std::lock_guard guard(mutex_);
      auto it = idle_.begin();
      while (it != idle_.end() && expiry(*it) > until) ++it;
      if (it == idle_.end()) return true;
      if (!place) return false;
      old.splice(old.end(), idle_, it);
    }
  }

  const std::function<bool(T&)> is_alive_;
  entries idle_;  // guarded by mutex_; the newest last
};

}  // namespace detail

/// Things that are costly to make, such as connections, lent again and again:
///
///     curfew::pool<session> sessions(curfew::pool_options().capacity(8));
///     auto mine = sessions.acquire(ctx, connect);  // result<session> connect(const curfew::context&)
///     if (!mine) return mine.error();
///     if (!(*mine)->ping()) mine->discard();       // it is broken; else it is given back when `mine` is gone
///
/// The thing given back last is lent first. Where `capacity` things are lent, calls wait: first come, first
/// served. What is canceled did not happen: a call that returns an error holds nothing, and its place goes to the
/// next one.
///
/// Idle things that are too old are destroyed soon, in the thread of the timer: a destructor is short. The time is
/// that of a context. Nothing of a thing runs under a lock: neither its making, its check nor its destructor.
///
/// Lifetime:       a lease and a call under way may outlive the pool; their things are destroyed at their end.
/// Thread safety:  any thread; things go from thread to thread.
/// Source:         Go's database/sql.DB, which has no fair queue; HikariCP.
template <std::move_constructible T>
class pool {
  using state = detail::pool_state<T>;

 public:
  /// A thing, lent. Its destructor gives the thing back. One that was moved from, or discarded, is empty.
  /// Thread safety: one thread at a time.
  class [[nodiscard("a lease that is not kept gives its thing back at once: name it")]] lease {
   public:
    lease(lease&& other) noexcept = default;
    lease& operator=(lease&& other) noexcept {
      lease taken(std::move(other));
      std::swap(of_, taken.of_);
      std::swap(place_, taken.place_);
      std::swap(one_, taken.one_);
      return *this;
    }
    ~lease() {
      if (!one_.empty()) of_->give_back(std::move(one_), std::move(place_));
    }

    [[nodiscard]] T& operator*() noexcept { return one_.front().thing; }
    [[nodiscard]] T* operator->() noexcept { return &one_.front().thing; }
    [[nodiscard]] explicit operator bool() const noexcept { return !one_.empty(); }

    /// Destroys the thing; the next call makes another. Afterwards the lease is empty.
    void discard() noexcept {
      one_.clear();
      place_.release();
    }

   private:
    friend class pool;

    lease(std::shared_ptr<state> of, semaphore::permit place, state::entries one) noexcept
        : of_(std::move(of)),
          place_(std::move(place)),
          one_(std::move(one)) {}

    std::shared_ptr<state> of_;  // outlives the place
    semaphore::permit place_;
    state::entries one_;
  };

  /// \param is_alive  Called with an idle thing before it is lent again; false: it is destroyed, and the next one
  ///                  tried. It does not block. Default: all are.
  /// \param ctx       For its clock.
  explicit pool(pool_options options = {}, std::function<bool(T&)> is_alive = {},
                const context& ctx = background())
      : state_(std::make_shared<state>(options, std::move(is_alive), ctx)) {}
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;
  /// As `close`.
  ~pool() { state_->close(); }

  /// Lends an idle thing, or one that `make(ctx)` makes.
  ///
  /// \param make  Returns result<T>. It obeys ctx by itself.
  /// Completes when:  there is a thing.
  /// Errors:          the end of ctx, with its cause; errc::closed; what `make` returns. Nothing is held then.
  /// Throws:          what `make` and `is_alive` throw, std::bad_alloc; nothing is held then.
  template <class Make>
  [[nodiscard]] result<lease> acquire(const context& ctx, Make&& make) {
    const auto of = state_;
    auto place = of->enter(ctx);
    if (!place) return place.error();
    auto one = of->take();
    if (one && one->empty()) {
      auto made = detail::call_with(make, ctx);
      if (!made) return made.error();
      one = of->keep_made(std::move(*made));
    }
    if (!one) return one.error();
    return lease(of, std::move(*place), std::move(*one));
  }

  /// Destroys the idle things. One that is being given back or lent at this moment may stay.
  void close_idle() noexcept { state_->close_idle(); }
  /// Destroys the idle things, and ends the calls that wait with errc::closed; so end all later calls, and those whose
  /// thing is still being made. Things that are lent are destroyed when they are given back. Again: nothing.
  void close() noexcept { state_->close(); }

  [[nodiscard]] pool_stats stats() const { return state_->stats(); }

 private:
  template <std::move_constructible U, class Make>
    requires detail::coroutine_of_context<Make>
  friend auto async_acquire(context ctx, pool<U>& from, Make make)
      -> boost::asio::awaitable<result<typename pool<U>::lease>>;

  template <class Make>
  static boost::asio::awaitable<result<lease>> lend(context ctx, std::shared_ptr<state> of, Make make) {
    result<semaphore::permit> place = co_await of->async_enter(ctx);
    if (!place) co_return place.error();
    auto one = of->take();
    if (one && one->empty()) {
      auto made = co_await detail::await_with(make, ctx);
      if (!made) co_return made.error();
      one = of->keep_made(std::move(*made));
    }
    if (!one) co_return one.error();
    co_return lease(std::move(of), std::move(*place), std::move(*one));
  }

  std::shared_ptr<state> state_;
};

/// The same for coroutines: `auto mine = co_await curfew::async_acquire(ctx, sessions, connect);`
///
/// \param make  Returns an asio::awaitable of result<T>. Name a lambda on a line of its own: g++ 12 destroys one
///              inside a co_await expression twice.
/// Cancellation:    by ctx. Asio's per-operation cancellation ends the wait, too (errc::canceled), and is for
///                  `make`.
/// Lifetime:        the pool may be destroyed before completion; it then ends with errc::closed.
template <std::move_constructible T, class Make>
  requires detail::coroutine_of_context<Make>
auto async_acquire(context ctx, pool<T>& from, Make make)
    -> boost::asio::awaitable<result<typename pool<T>::lease>> {
  return pool<T>::lend(std::move(ctx), from.state_, std::move(make));
}

}  // namespace curfew
