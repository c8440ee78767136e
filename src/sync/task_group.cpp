#include <algorithm>
#include <curfew/core/detail/threads.hpp>
#include <curfew/sync/task_group.hpp>
#include <exception>
#include <mutex>
#include <utility>

// Which thread runs the tasks. The group has one ticket, which is in the pool's queue while there are tasks without a
// thread. A thread that draws it first puts it back if there is work for one more, and then runs tasks
// until none waits. So there are never more threads at it than tasks or than the limit, and the pool is not
// touched once for each task.
//
// Invariants, under lock_
//  1. size_ counts the tasks that wait in the list, those that run, and what entered and has not left.
//  2. ticket_out_ is set by the thread that then puts the ticket into the pool, and reset by the thread that has
//     drawn or withdrawn it. No other thread touches the ticket.
//  3. ticket_out_ only while size_ > 0: the task that would be the last one is counted until it has taken the
//     ticket back, or the thread that has drawn it has come by. So nothing waits for a thread of the pool to be
//     free, only for one that is on its way.
//  4. A thread that finds size_ at 0 under the lock may destroy the group: each thread that was at work gave the
//     lock back after its last touch of it. Joiners that sleep are finished after that, and are touched alone.
//  5. failure_ is the first failure. While only_ended_ it passes on the group's own end, and the first failure of
//     another kind takes its place. further_ has failures of other kinds only.
//
// Locks. lock_ is never held together with another one, while a task or a destructor runs, or a context ends.

namespace curfew {

namespace {

constexpr task_kind of_group{"task"};

}  // namespace

task_group::task_group(const context& ctx, std::source_location where)
    : task_group(ctx, limit(std::numeric_limits<unsigned>::max()), where) {}

task_group::task_group(const context& ctx, limit most, std::source_location where)
    : task_group(ctx, most, thread_pool::shared(), where) {}

task_group::task_group(const context& ctx, limit most, thread_pool& pool, std::source_location where)
    : scope_(with_cancel(ctx, where)),
      clock_(ctx),
      pool_(pool),
      limit_(most.value) {}

task_group::~task_group() {
  scope_.cancel();
  wait_until_over();
}

std::string task_failure::message() const {
  if (returned_) return returned_->message();
  try {
    std::rethrow_exception(thrown_);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of no standard type";
  }
}

/// \return false: it is not run, since `only_if_free`.
bool task_group::enqueue(std::unique_ptr<detail::group_task> task, bool only_if_free,
                         std::source_location where) {
  detail::pool_access::prepare(pool_);
  task->shown = detail::open_task(scope_, of_group, {}, where);
  bool issue = false;
  {
    const std::lock_guard guard(lock_);
    if (only_if_free && (scope_.err() || queued_ + running_ >= limit_)) return false;
    detail::group_task* added = task.release();
    if (last_ == nullptr) {
      first_ = added;
    } else {
      last_->next = added;
    }
    last_ = added;
    ++size_;
    ++queued_;
    issue = wants_thread();
    if (issue) ticket_out_ = true;
  }
  if (issue) issue_ticket();
  return true;
}

/// A manual clock counts the ticket on its way, and then the thread that has drawn it; tasks that wait behind a limit
/// are taken by threads that are counted.
void task_group::issue_ticket() noexcept {
  clock_.begin();
  detail::pool_access::enqueue(pool_, ticket_, false);
}

void task_group::enter() noexcept {
  const std::lock_guard guard(lock_);
  ++size_;
}

void task_group::leave(result<> outcome, std::exception_ptr thrown) noexcept {
  if (thrown) {
    fail(task_failure(std::move(thrown)));
  } else if (!outcome) {
    fail(task_failure(std::move(outcome).error()));
  }
  const detail::activity until_joiners_count(clock_);
  bool issue = false;
  std::unique_ptr<task_group> abandoned;
  {
    detail::finish_list after;
    std::unique_lock guard(lock_);
    count_out(guard);
    issue = wants_thread();
    if (issue) ticket_out_ = true;
    settle(after);
    if (is_over()) abandoned = std::move(self_);
  }
  if (issue) issue_ticket();
}

void task_group::abandon(std::unique_ptr<task_group> group) noexcept {
  task_group& its = *group;
  its.scope_.cancel();
  const std::lock_guard guard(its.lock_);
  if (!its.is_over()) its.self_ = std::move(group);
}

/// One task is over, which was still counted.
void task_group::count_out(std::unique_lock<detail::spin_lock>& guard) noexcept {
  for (unsigned tries = 0; size_ == 1 && ticket_out_; ++tries) {  // invariant 3
    guard.unlock();
    const bool withdrawn = detail::pool_access::withdraw(pool_, ticket_);
    if (!withdrawn)
      detail::threads::relax(tries);  // a thread is on the way to the pool with it, or from there
    if (withdrawn) clock_.end();      // not the last: the caller counts
    guard.lock();
    if (withdrawn) ticket_out_ = false;
  }
  --size_;
}

void task_group::settle(detail::finish_list& after) noexcept {
  if (!is_over()) return;
  while (detail::wait_entry* e = joiners_.pop_claimed()) after.add(*e);
}

void task_group::fail(task_failure failure) noexcept {
  const bool is_end =
      failure.returned() != nullptr && scope_.err() && failure.returned()->code() == scope_.err();
  cause why;
  try {
    if (const error* e = failure.returned(); e == nullptr) {
      why = cause("a task threw an exception");
    } else if (!is_end) {
      why = cause(e->code(), e->message());
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): it ends without a cause
  }
  std::optional<task_failure> kept(std::move(failure));
  bool is_first = false;
  {
    const std::lock_guard guard(lock_);
    is_first = !failure_ || (only_ended_ && !is_end);
    if (is_first) {
      failure_.swap(kept);
      only_ended_ = is_end;
    }
  }
  if (is_first) {
    if (!goes_on_) scope_.cancel(std::move(why));
    return;
  }
  if (is_end) return;
  try {
    std::list<task_failure> one;
    one.push_back(*std::move(kept));
    const std::lock_guard guard(lock_);
    further_.splice(further_.end(), one);
  } catch (...) {  // NOLINT(bugprone-empty-catch): without memory for it, it is left out
  }
}

void task_group::run_ticket(detail::pool_job& job) noexcept { static_cast<ticket&>(job).group->work(true); }

/// Runs tasks as long as there are any and the limit allows it.
/// \param drawn  The caller has drawn the ticket.
/// \return whether all are over. The group may be gone then, unless the caller joins.
bool task_group::work(bool drawn) noexcept {
  bool ran = false;
  if (!drawn) clock_.begin();  // else the ticket was counted
  const detail::activity counted(clock_,
                                 detail::activity::begun());  // last of all: joiners count by then
  const detail::busy_frame here(counted.clock());
  for (;;) {
    detail::group_task* task = nullptr;
    bool issue = false;
    std::unique_ptr<task_group> abandoned;
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
        if (!is_over()) return false;
        abandoned = std::move(self_);
        return true;
      }
      task = first_;
      first_ = task->next;
      if (first_ == nullptr) last_ = nullptr;
      --queued_;
      ++running_;
      issue = wants_thread();
      if (issue) ticket_out_ = true;
    }
    if (issue) issue_ticket();
    run_one(task);
    ran = true;
  }
}

void task_group::run_one(detail::group_task* task) noexcept {
  const std::unique_ptr<detail::group_task> mine(task);
  const detail::working_for here(task->shown.ref());
  if (scope_.err()) {
    const std::lock_guard guard(lock_);
    dropped_ = true;
    return;
  }
  try {
    if (auto outcome = task->run(scope_); !outcome) fail(task_failure(std::move(outcome).error()));
  } catch (...) {
    fail(task_failure(std::current_exception()));
  }
}

void task_group::wait_until_over() noexcept {
  while (!work(false)) {
    // No end of a context ends this wait.
    detail::thread_waiter w(background(), "join");
    detail::group_joining over(*this);
    {
      const std::lock_guard guard(lock_);
      if (is_over()) return;
      over.enlist(w);
    }
    w.wait();
  }
}

std::optional<task_group::failures> task_group::take_failures() noexcept {
  const std::lock_guard guard(lock_);
  if (!failure_ && !dropped_) return std::nullopt;
  return failures{std::exchange(failure_, std::nullopt), std::exchange(further_, {}),
                  std::exchange(dropped_, false)};
}

result<> task_group::join() {
  wait_until_over();
  const auto all = take_failures();
  if (!all) return {};
  if (!all->first) return error::ended(scope_, "task_group");
  if (all->first->thrown()) std::rethrow_exception(all->first->thrown());
  return *all->first->returned();
}

std::vector<task_failure> task_group::join_all() {
  wait_until_over();
  auto all = take_failures();
  std::vector<task_failure> in_order;
  if (!all) return in_order;
  in_order.reserve(1 + all->further.size());
  if (all->first) {
    in_order.push_back(*std::move(all->first));
  } else {
    in_order.emplace_back(error::ended(scope_, "task_group"));
  }
  for (task_failure& each : all->further) in_order.push_back(std::move(each));
  return in_order;
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
