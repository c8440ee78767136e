#include <algorithm>
#include <curfew/sync/task_group.hpp>
#include <exception>
#include <mutex>
#include <utility>

// Who runs the tasks. The group has one ticket, which is in the pool's queue while there are tasks that nobody
// runs. A thread that draws it first puts it back if there is work for one more, and then runs tasks until none
// waits. So there are never more threads at it than tasks or than the limit, and the pool is not touched once
// for each task.
//
// Invariants, under lock_
//  1. size_ counts the tasks that wait in the list, those that run, and what entered and has not left.
//  2. ticket_out_ is set by the one who then puts the ticket into the pool, and reset by the one who has drawn
//     or withdrawn it. Nobody else touches the ticket.
//  3. Who finds the group over under the lock may destroy it: whoever was at work gave the lock back after its
//     last touch of the group. Joiners that sleep are finished after that, and are touched alone.
//
// Locks. lock_ is never held together with another one, while a task or a destructor runs, or a context ends.

namespace curfew {

task_group::task_group(const context& ctx, std::source_location where)
    : task_group(ctx, limit(std::numeric_limits<unsigned>::max()), where) {}

task_group::task_group(const context& ctx, limit most, std::source_location where)
    : task_group(ctx, most, thread_pool::shared(), where) {}

task_group::task_group(const context& ctx, limit most, thread_pool& pool, std::source_location where)
    : scope_(with_cancel(ctx, where)),
      pool_(pool),
      limit_(most.value) {}

task_group::~task_group() {
  scope_.cancel();
  wait_until_over();
}

void task_group::enqueue(std::unique_ptr<detail::group_task> task) {
  bool issue = false;
  {
    const std::lock_guard guard(lock_);
    detail::group_task* added = task.release();
    if (last_ == nullptr) {
      first_ = added;
    } else {
      last_->next = added;
    }
    last_ = added;
    ++size_;
    issue = wants_thread();
    if (issue) ticket_out_ = true;
  }
  if (issue) detail::pool_access::enqueue(pool_, ticket_, false);
}

void task_group::enter() noexcept {
  const std::lock_guard guard(lock_);
  ++size_;
}

void task_group::leave(result<> outcome, std::exception_ptr thrown) noexcept {
  if (!outcome || thrown) fail(std::move(outcome), std::move(thrown));
  bool issue = false;
  {
    detail::finish_list after;
    std::unique_lock guard(lock_);
    count_out(guard);
    issue = wants_thread();
    if (issue) ticket_out_ = true;
    settle(after);
  }
  if (issue) detail::pool_access::enqueue(pool_, ticket_, false);
}

/// One task is over, which was still counted. The last one takes the ticket back, or joiners would have to wait
/// until a thread has time to draw it.
void task_group::count_out(std::unique_lock<detail::spin_lock>& guard) noexcept {
  if (size_ == 1 && ticket_out_) {
    guard.unlock();
    const bool withdrawn = detail::pool_access::withdraw(pool_, ticket_);
    guard.lock();
    if (withdrawn) ticket_out_ = false;
  }
  --size_;
}

void task_group::settle(detail::finish_list& after) noexcept {
  if (!is_over()) return;
  while (detail::wait_entry* e = joiners_.pop_claimed()) after.add(*e);
}

void task_group::fail(result<> outcome, std::exception_ptr thrown) noexcept {
  cause why;
  try {
    why = outcome ? cause("a task threw an exception")
                  : cause(outcome.error().code(), outcome.error().message());
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it ends without a cause
  }
  {
    const std::lock_guard guard(lock_);
    if (error_ || thrown_) return;
    if (thrown) {
      thrown_ = std::move(thrown);
    } else {
      error_.emplace(std::move(outcome).error());
    }
  }
  scope_.cancel(std::move(why));
}

void task_group::run_ticket(detail::pool_job& job) noexcept { static_cast<ticket&>(job).group->work(true); }

/// Runs tasks as long as there are any and the limit allows it.
/// \param drawn  The caller has drawn the ticket.
/// \return whether all are over. The group may be gone then, unless the caller joins.
bool task_group::work(bool drawn) noexcept {
  bool ran = false;
  for (;;) {
    detail::group_task* task = nullptr;
    bool issue = false;
    {
      detail::finish_list after;
      std::unique_lock guard(lock_);
      if (std::exchange(drawn, false)) ticket_out_ = false;
      if (ran) {
        --running_;
        count_out(guard);
      }
      if (first_ == nullptr || running_ >= limit_) {
        settle(after);
        return is_over();
      }
      task = first_;
      first_ = task->next;
      if (first_ == nullptr) last_ = nullptr;
      ++running_;
      issue = wants_thread();
      if (issue) ticket_out_ = true;
    }
    if (issue) detail::pool_access::enqueue(pool_, ticket_, false);
    run_one(task);
    ran = true;
  }
}

void task_group::run_one(detail::group_task* task) noexcept {
  const std::unique_ptr<detail::group_task> mine(task);
  if (scope_.err()) {
    const std::lock_guard guard(lock_);
    dropped_ = true;
    return;
  }
  try {
    if (auto outcome = task->run(scope_); !outcome) fail(std::move(outcome), nullptr);
  } catch (...) {
    fail({}, std::current_exception());
  }
}

void task_group::wait_until_over() noexcept {
  while (!work(false)) {
    // What ends is the tasks, not this wait; the context is for its clock.
    const context clock_of = detail::root_of(scope_);
    detail::thread_waiter w(clock_of);
    detail::group_joining over(*this);
    {
      const std::lock_guard guard(lock_);
      if (is_over()) return;
      over.enlist(w);
    }
    w.wait();
  }
}

result<> task_group::join() {
  wait_until_over();
  std::exception_ptr thrown;
  std::optional<error> failed;
  bool dropped = false;
  {
    const std::lock_guard guard(lock_);
    thrown = std::exchange(thrown_, nullptr);
    failed = std::exchange(error_, std::nullopt);
    dropped = std::exchange(dropped_, false);
  }
  if (thrown) std::rethrow_exception(thrown);
  if (failed) return std::unexpected(std::move(*failed));
  if (dropped) return std::unexpected(error::ended(scope_, "task_group"));
  return {};
}

std::size_t task_group::size() const noexcept {
  const std::lock_guard guard(lock_);
  return size_;
}

namespace detail {

bool group_joining::try_now() const noexcept {
  const std::lock_guard guard(group_->lock_);
  return group_->is_over();
}

void group_joining::delist() noexcept {
  const std::lock_guard guard(group_->lock_);
  group_->joiners_.remove(entry_);
}

}  // namespace detail

}  // namespace curfew
