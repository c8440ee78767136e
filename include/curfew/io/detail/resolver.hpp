#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/intrusive_list.hpp>
#include <curfew/core/error.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace curfew::detail {

/// From names to addresses, by the system's getaddrinfo, in threads that no caller has to wait for.
///
///                        a thread is free               the system has answered
///     find() ──► queued ─────────────────► running ─────────────────────────────► known, for a while
///                  │ all tickets dropped      │ the process exits
///                  ▼                          ▼
///                gone                       abandoned
///
/// A name has one lookup at a time, which later callers join. A thread serves one lookup after the other and ends when
/// none is left. A lookup that hangs keeps its thread, and more threads are made, up to a limit. When all of them have
/// hung for a while, a name that is not known gets an error at once.
///
/// Invariants
///  1. A lookup is in `under_way_` until its answer is known, and in `queue_` until a thread has taken it.
///  2. A lookup in `queue_` has a waiter. One that runs may have none: what it finds is kept.
///  3. The lookup that is left by `under_way_` belongs to its thread; its waiters are guarded by mutex_ all the same.
///
/// Races
///  - A ticket is dropped as its listener is called: the destructor waits, except in the listener itself.
///  - The process exits while a lookup hangs: the resolver is never destroyed, so the thread finds it.
///  - fork: the child has no such threads. It keeps what is known and forgets what is under way: its own lookups begin
///    anew, and tickets from before are never answered there. A lookup that was under way may have held a lock of the C
///    library, which stays locked in the child and lets lookups hang there; their callers end by their contexts.
///
/// Thread safety: all of it.
class resolver {
 private:
  struct lookup;
  struct waiter;

 public:
  /// In the order to try them: as RFC 6724 sorts them (getaddrinfo does), then the families in turn (RFC 8305,
  /// section 4). At least one, at most most_addresses.
  using addresses = std::vector<boost::asio::ip::address>;
  /// A name server does not decide how many sockets a call opens.
  static constexpr std::size_t most_addresses = 32;
  /// Else asio::error::host_not_found, or what the system says: std::errc::resource_unavailable_try_again where no
  /// server has answered or every thread hangs. The error's doing() is a detail for the message, or empty.
  using answer = result<std::shared_ptr<const addresses>>;
  /// Called once, in a thread of the resolver, without a lock. It must not throw, and should be brief: others may wait
  /// behind it.
  using listener = std::move_only_function<void(answer)>;

  struct limits {
    unsigned threads = 128;
    clock::duration patience = std::chrono::seconds(5);  ///< A lookup of this age hangs.
    clock::duration keep = std::chrono::seconds(5);  ///< For addresses; getaddrinfo does not tell how long.
    clock::duration keep_missing = std::chrono::seconds(1);
    std::size_t names = 256;  ///< That are known at a time.
    clock::time_point (*now)() = &clock::now;
  };

  /// The place of a listener.
  class ticket {
   public:
    ticket() noexcept = default;
    ticket(ticket&&) noexcept = default;
    ticket& operator=(ticket&& other) noexcept;
    ~ticket() { drop(); }
    /// Takes the listener back. If that runs in another thread right now, waits until it has returned: so no lock may
    /// be held that it wants. Afterwards it is not called and is destroyed, except that a listener which drops its own
    /// ticket is destroyed once it has returned.
    void drop() noexcept;

   private:
    friend class resolver;
    std::shared_ptr<waiter> waiter_;
  };

  explicit resolver(const limits& limit);
  resolver(const resolver&) = delete;
  resolver& operator=(const resolver&) = delete;
  ~resolver() = delete;  // a thread that hangs may come back

  /// The process's own.
  static resolver& shared();

  /// \param host  A name, or an address without brackets.
  /// \param t     Is dropped first.
  /// \return the answer, where it is known at once. Else `later` gets it, maybe before find() returns, unless the ticket
  ///         `t` is dropped before.
  /// Throws: std::bad_alloc; `later` is not called.
  std::optional<answer> find(const std::string& host, ticket& t, listener later);

 private:
  struct known {
    answer what;
    clock::time_point until;
  };

  std::optional<error> begin(lookup& one);  // under mutex_
  void run(lookup* one) noexcept;
  void deliver(lookup& one, const answer& what);
  void keep(const std::string& host, const answer& what, clock::duration time);  // under mutex_
  void drop(waiter& one) noexcept;
  void forget_threads() noexcept;

  const limits limits_;
  std::mutex mutex_;  // for all below
  std::condition_variable called_;
  std::unordered_map<std::string, known> known_;
  std::unordered_map<std::string, std::unique_ptr<lookup>> under_way_;
  intrusive_list<lookup> queue_;
  unsigned threads_ = 0;
  clock::time_point last_begun_;  // of the lookups that run
  unsigned process_ = 0;          // counts forks
};

/// The addresses of a name, or of an address without brackets, by the process's own resolver. Blocks.
/// Errors: those of resolver::answer; the end of ctx, which does not wait for the system.
[[nodiscard]] resolver::answer resolve(const context& ctx, const std::string& host);
/// The same in a coroutine; Asio's per-operation cancellation ends the wait, too.
[[nodiscard]] boost::asio::awaitable<resolver::answer> async_resolve(context ctx, std::string host);

}  // namespace curfew::detail
