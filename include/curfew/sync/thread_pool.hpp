#pragma once

#include <cstdint>
#include <curfew/core/detail/intrusive_list.hpp>
#include <functional>
#include <memory>
#include <source_location>

namespace curfew {

namespace detail {

/// A piece of work for a thread_pool, which does not own it.
struct pool_job : list_hook<> {
  /// Called in a thread of the pool; the job may be gone when it returns.
  void (*const run)(pool_job&) noexcept;
  std::uint64_t number = 0;  // in the order of coming

  explicit pool_job(void (*r)(pool_job&) noexcept) noexcept : run(r) {}
};

struct pool_access;

}  // namespace detail

/// Threads for work that blocks or computes. They start when there is work for them, up to the limit; work
/// beyond that waits in a queue. An idle thread ends after some seconds, but for the last one.
/// Thread safety: any thread.
class thread_pool {
 public:
  /// \param max_threads  At least 1.
  explicit thread_pool(unsigned max_threads);
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  /// Waits for the work that runs; what is still queued runs too. Then waits for the threads to end, with
  /// their thread_local objects.
  ~thread_pool();

  /// The pool that is used where none is given: 64 threads at most. It is never destroyed.
  static thread_pool& shared();

  /// Runs `f` on one of the threads; it must not throw (std::terminate). So a pool can be the executor of
  /// `after_func`. Work that is waited for belongs in a `task_group`.
  /// Throws: std::bad_alloc; std::system_error if not even one thread can be started. `f` does not run then.
  void post(std::move_only_function<void()> f, std::source_location where = std::source_location::current());

  struct impl;

 private:
  friend struct detail::pool_access;
  std::shared_ptr<impl> impl_;
};

namespace detail {

/// Extension interface: for groups of tasks, and for work that io offloads.
struct pool_access {
  /// Starts the first thread, if there is none yet. Throws: std::system_error.
  static void prepare(thread_pool& pool);
  /// Puts a job into the queue of a pool that has been prepared.
  /// \param blocks  It may block, so it gets a thread at once if there may be another one. Else one for each
  ///                core is taken to be enough, until jobs have waited for a while.
  static void enqueue(thread_pool& pool, pool_job& job, bool blocks) noexcept;
  /// Takes it back.
  /// \return false if it is not in the queue (any more).
  static bool withdraw(thread_pool& pool, pool_job& job) noexcept;
  [[nodiscard]] static unsigned max_threads(const thread_pool& pool) noexcept;
};

}  // namespace detail

}  // namespace curfew
