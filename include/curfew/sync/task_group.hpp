#pragma once

#include <concepts>
#include <cstddef>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/outcome.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <exception>
#include <limits>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {

class task_group;

namespace detail {

/// A task that has not been started. Deletes itself.
struct group_task {
  group_task* next = nullptr;
  open_task shown;  // by inspection

  group_task() = default;
  group_task(const group_task&) = delete;
  group_task& operator=(const group_task&) = delete;
  virtual ~group_task() = default;
  virtual result<> run(const context& ctx) = 0;
};

template <class F>
struct group_task_of final : group_task {
  F f;

  explicit group_task_of(F&& work) : f(std::move(work)) {}
  result<> run(const context& ctx) override {
    static_assert(
        std::is_same_v<outcome<F&>, result<>>,
        "curfew::task_group: a task returns void, curfew::result<> or std::error_code; it hands its "
        "values on by itself");
    return call_with(f, ctx);
  }
};

class group_joining;
struct group_access;

}  // namespace detail

/// How a task of a group failed: by an error that it returned, or by an exception.
class task_failure {
 public:
  explicit task_failure(error returned) noexcept : returned_(std::move(returned)) {}
  explicit task_failure(std::exception_ptr thrown) noexcept : thrown_(std::move(thrown)) {}  // NOLINT

  /// Null: it threw.
  [[nodiscard]] const error* returned() const noexcept { return returned_ ? &*returned_ : nullptr; }
  /// Null: it returned an error.
  [[nodiscard]] const std::exception_ptr& thrown() const noexcept { return thrown_; }
  /// One line: that of the error, or what() of the exception.
  [[nodiscard]] std::string message() const;

 private:
  std::optional<error> returned_;
  std::exception_ptr thrown_;
};

/// Work in several threads, or coroutines, that belongs together: it runs under one context, the first error
/// cancels the rest, and nothing of it outlives the group.
///
///     curfew::task_group group(ctx);
///     for (auto& each : files)
///       group.spawn([&](const curfew::context& ctx) { return hash(ctx, each); });  // void, result<> or a code
///     auto hashed = group.join();                                                  // the first error, or none
///
/// A task that fails, by an error or by an exception, cancels the group's context; its error is the cause.
/// Tasks that have not been started by then are dropped, as they are when the context ends by itself. With
/// `keep_going()` the others go on instead.
///
/// What `join` reports is the first failure. An error with the code of the group's own end, returned after that,
/// only passes it on: it hides no failure, whichever comes first. An exception is always a failure.
///
/// Tasks run on a thread_pool, in the order in which they were spawned, and in the thread that joins, which
/// would only wait otherwise. A thread for each core is started at once, further ones when tasks have waited
/// for a millisecond, because those that run may block; up to the limit of the group or of the pool. Tasks
/// that wait for each other need a limit and a pool of at least their number.
///
/// Lifetime:       the destructor cancels the context, without a cause, and joins. So a task may use what was
///                 declared before its group.
/// Thread safety:  `spawn`, `cancel` and `ctx` from any thread, tasks of the group included; `join` and the
///                 destructor from one that is not a task of it.
/// Source:         golang.org/x/sync/errgroup, with the context inside; Trio's nurseries.
class task_group {
 public:
  /// How many tasks may run at the same time.
  struct limit {
    unsigned value;
    constexpr explicit limit(unsigned tasks) noexcept : value(tasks > 0 ? tasks : 1) {}
  };

  explicit task_group(const context& ctx, std::source_location where = std::source_location::current());
  task_group(const context& ctx, limit most, std::source_location where = std::source_location::current());
  /// \param pool  Outlives the group.
  task_group(const context& ctx, limit most, thread_pool& pool,
             std::source_location where = std::source_location::current());
  task_group(const task_group&) = delete;
  task_group& operator=(const task_group&) = delete;
  ~task_group();

  /// The context of the tasks.
  [[nodiscard]] const context& ctx() const noexcept { return scope_; }

  /// From now on a failure does not cancel the rest. Call it before the first `spawn`.
  void keep_going() noexcept { goes_on_ = true; }

  /// Runs `f(ctx)` as soon as the limit allows it. `f` returns void, result<> or std::error_code; what it
  /// throws is rethrown by join(). It is destroyed in the thread in which it ran.
  /// Throws: std::bad_alloc; the task does not run then.     Cost: one allocation.
  template <class F>
    requires std::invocable<F&, const context&>
  void spawn(F f, std::source_location where = std::source_location::current()) {
    enqueue(std::make_unique<detail::group_task_of<F>>(std::move(f)), false, where);
  }

  /// The same, unless as many tasks as the limit allows run or wait already, or the group's context has ended.
  /// \return false: `f` is dropped.
  template <class F>
    requires std::invocable<F&, const context&>
  [[nodiscard]] bool try_spawn(F f, std::source_location where = std::source_location::current()) {
    return enqueue(std::make_unique<detail::group_task_of<F>>(std::move(f)), true, where);
  }

  /// Cancels the context of the tasks.
  void cancel() noexcept { scope_.cancel(); }
  void cancel(cause why) noexcept { scope_.cancel(std::move(why)); }

  /// Waits until all tasks are over, and helps. Always waits for the end, however the context fares: the
  /// tasks have to stop by themselves, which they learn from their context.
  /// \return the error of the first task that failed, in time; the end of the context if tasks were dropped
  ///         because of it, or only passed it on. After that the group may be used again, unless its context
  ///         has ended.
  /// Throws: what the first task that failed threw, if it threw.
  [[nodiscard]] result<> join();

  /// As `join`, with all that failed, in the order of time; empty if nothing did. The end of the context is
  /// among them where nothing else is. They are kept until the group is joined, so tasks of a group that lives
  /// for long had better deal with their errors themselves.
  /// Throws: std::bad_alloc. Where there was no memory to keep a failure after the first, it is left out.
  [[nodiscard]] std::vector<task_failure> join_all();

  /// A case for `select`: all tasks are over. `join` tells how they fared, at once then.
  [[nodiscard]] detail::group_joining joining() noexcept;

  /// How many tasks run or wait to be run, at this moment.
  [[nodiscard]] std::size_t size() const noexcept;

 private:
  friend class detail::group_joining;
  friend struct detail::group_access;

  struct ticket : detail::pool_job {
    task_group* const group;
    explicit ticket(task_group* of) noexcept : pool_job(&run_ticket), group(of) {}
  };

  static void run_ticket(detail::pool_job& job) noexcept;
  bool enqueue(std::unique_ptr<detail::group_task> task, bool only_if_free, std::source_location where);
  void issue_ticket() noexcept;
  void enter() noexcept;
  void leave(result<> outcome, std::exception_ptr thrown) noexcept;
  static void abandon(std::unique_ptr<task_group> group) noexcept;
  bool work(bool drawn) noexcept;
  void wait_until_over() noexcept;
  void run_one(detail::group_task* task) noexcept;
  void fail(task_failure failure) noexcept;
  void count_out(std::unique_lock<detail::spin_lock>& guard) noexcept;
  [[nodiscard]] bool is_over() const noexcept { return size_ == 0; }
  [[nodiscard]] bool wants_thread() const noexcept {
    return first_ != nullptr && !ticket_out_ && running_ < limit_;
  }
  void settle(detail::finish_list& after) noexcept;

  /// What the tasks of a group that is over leave behind, where they have not all succeeded.
  struct failures {
    std::optional<task_failure> first;
    std::list<task_failure> further;
    bool dropped = false;
  };
  [[nodiscard]] std::optional<failures> take_failures() noexcept;

  cancel_scope scope_;
  const detail::counting_clock clock_;  // counts the tasks, from when they are spawned
  thread_pool& pool_;
  const unsigned limit_;
  ticket ticket_{this};
  bool goes_on_ = false;  // written before there are tasks

  // Guarded by lock_:
  mutable detail::spin_lock lock_;
  bool ticket_out_ = false;  // the ticket is in the pool, or on its way to or from it
  unsigned running_ = 0;     // threads that run tasks
  std::size_t size_ = 0;     // tasks that run or wait, coroutines included
  std::size_t queued_ = 0;   // tasks in the list
  detail::group_task* first_ = nullptr;
  detail::group_task* last_ = nullptr;
  detail::wait_list joiners_;
  std::optional<task_failure> failure_;  // the first
  std::list<task_failure> further_;      // failures after it
  bool only_ended_ = false;              // failure_ passes on the group's end, and gives way to any other
  bool dropped_ = false;                 // a task was not run because the context had ended
  std::unique_ptr<task_group> self_;     // it is abandoned: the last of its tasks destroys it
};

namespace detail {

/// All tasks of a group are over.
class group_joining {
 public:
  explicit group_joining(task_group& group) noexcept : group_(&group) {}
  group_joining(group_joining&& other) noexcept : group_(other.group_) {}

  [[nodiscard]] bool try_now() const noexcept;
  [[nodiscard]] spin_lock* lock() const noexcept { return &group_->lock_; }
  [[nodiscard]] bool try_locked(finish_list& /*after*/) const noexcept { return group_->is_over(); }
  void enlist(waiter& w) noexcept {
    entry_.owner = &w;
    group_->joiners_.push_back(entry_);
  }
  void delist() noexcept;
  [[nodiscard]] const wait_entry* entry() const noexcept { return &entry_; }
  [[nodiscard]] const context* ctx() const noexcept { return &group_->ctx(); }
  void outcome() const noexcept {}

 private:
  struct plain_entry final : wait_entry {};

  task_group* group_;
  plain_entry entry_;
};

/// Extension interface: for tasks that run elsewhere, such as the coroutines of io.
struct group_access {
  /// One more task. Throws nothing.
  static void enter(task_group& group) noexcept { group.enter(); }
  /// What counts such a task is up to it.
  static const counting_clock& clock(const task_group& group) noexcept { return group.clock_; }
  /// One of those is over.
  static void leave(task_group& group, result<> outcome, std::exception_ptr thrown) noexcept {
    group.leave(std::move(outcome), std::move(thrown));
  }
  /// Cancels a group that is not joined, and leaves it to the last of its tasks.
  static void abandon(std::unique_ptr<task_group> group) noexcept { task_group::abandon(std::move(group)); }
};

}  // namespace detail

inline detail::group_joining task_group::joining() noexcept { return detail::group_joining(*this); }

}  // namespace curfew
