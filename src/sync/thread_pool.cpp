#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/detail/threads.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <list>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

// How they wait. One thread without work searches for a while without sleeping: a job that comes then needs no
// wake-up, which would take longer than many jobs do. The others sleep.
//
// How many threads. Jobs that block get a thread each, up to the limit. Of the others, which compute, more
// than one for each core would not be done sooner, and one core is the caller's; but as a job may block in
// ways that are not known here, a supervisor adds a thread whenever a job has waited for a millisecond, or
// for longer while this process keeps all cores busy: then it is more likely that the jobs compute.
//
// Invariants, under mutex_
//  1. Of the jobs in the queue, as many as there are threads that search, start or are asleep will be taken
//     by those. Adding a job beyond that starts a thread, or has the supervisor watch, or there are max_threads_.
//     Taking a job wakes a sleeper if there are more, because no thread was woken for the job that the searching
//     one was to take.
//  2. Once there has been a worker there is one until close(): the last does not end for want of work. So
//     jobs are not stranded where no further thread can be started.
//  3. A thread that leaves joins the one that left before it. So joining the last joins all.
//
// Locks. mutex_ is held while a thread is started, but never while a job or a destructor runs or a thread is
// joined.

namespace curfew {

namespace {

constexpr std::chrono::seconds idle_time{10};         // after which a thread without work ends
constexpr std::chrono::milliseconds stall_time{1};    // after which one more thread starts
constexpr std::chrono::milliseconds busy_time{20};    // the same, while all cores are busy
constexpr std::chrono::microseconds search_time{50};  // before a thread without work sleeps
constexpr std::chrono::microseconds owners_time{2};  // in which a job is left to the thread that has added it

/// What this process has had of the processors so far.
std::chrono::microseconds processor_time() noexcept {
  return std::chrono::microseconds(std::int64_t{std::clock()} * 1'000'000 / CLOCKS_PER_SEC);
}

}  // namespace

struct thread_pool::impl : std::enable_shared_from_this<thread_pool::impl> {
  explicit impl(unsigned limit) : max_threads_(std::max(limit, 1U)) {
    ::pthread_sigmask(SIG_SETMASK, nullptr, &signals_);
  }

  /// \return whether there is a thread now.
  bool prepare() noexcept;
  /// \return false if there is no thread, and none can be started; the job is not in the queue then.
  bool enqueue(detail::pool_job& job, bool blocks) noexcept;
  bool withdraw(detail::pool_job& job) noexcept;
  void close() noexcept;
  /// There will be no close().
  void live_for_ever() noexcept { for_ever_ = true; }
  [[nodiscard]] unsigned max_threads() const noexcept { return max_threads_; }

 private:
  using lock = std::unique_lock<std::mutex>;

  bool start(void (impl::*body)(lock&) noexcept) noexcept;
  bool start_worker() noexcept;
  void work(lock& guard) noexcept;
  void supervise(lock& guard) noexcept;
  bool sleep(lock& guard) noexcept;
  void search() const noexcept;
  void link(detail::pool_job& job) noexcept;
  void unlink(detail::pool_job& job) noexcept;
  void note_oldest() noexcept;

  std::atomic<bool> prepared_{false};  // there has been a worker

  std::mutex mutex_;
  std::condition_variable wake_;                    // there is a job, or closing_
  std::condition_variable stalled_;                 // the supervisor has something to look at, or may leave
  std::condition_variable all_left_;                // threads_ is empty
  detail::intrusive_list<detail::pool_job> queue_;  // guarded by mutex_, as all below
  std::size_t queued_ = 0;
  std::uint64_t linked_ = 0;        // the number of the job that came last
  std::list<std::thread> threads_;  // the supervisor included
  std::thread left_;                // of those that left, the last
  unsigned workers_ = 0;
  unsigned starting_ = 0;    // workers that have not looked at the queue yet
  unsigned sleeping_ = 0;    // workers
  bool searching_ = false;   // a worker looks for work, and looks again before it sleeps
  bool supervised_ = false;  // there is a supervisor
  bool watching_ = false;    // it is not asleep
  bool closing_ = false;
  bool for_ever_ = false;
  const unsigned cores_ = std::max(std::thread::hardware_concurrency(), 1U);
  const unsigned at_once_ = std::max(cores_, 2U) - 1;
  const unsigned max_threads_;
  sigset_t signals_{};  // blocked where the pool was made, and in its threads

  alignas(64) std::atomic<std::uint64_t> oldest_{
      0};  // number of the first job, 0: none. Written with mutex_ held
};

void thread_pool::impl::link(detail::pool_job& job) noexcept {
  job.number = ++linked_;
  ++queued_;
  queue_.push_back(job);
  note_oldest();
}

void thread_pool::impl::unlink(detail::pool_job& job) noexcept {
  queue_.remove(job);
  --queued_;
  note_oldest();
}

void thread_pool::impl::note_oldest() noexcept {
  const std::uint64_t number = queue_.empty() ? 0 : queue_.front()->number;
  // relaxed: search() looks at the number only
  if (oldest_.load(std::memory_order_relaxed) != number) oldest_.store(number, std::memory_order_relaxed);
}

bool thread_pool::impl::prepare() noexcept {
  if (prepared_.load(std::memory_order_relaxed)) return true;  // to know more takes mutex_
  const lock guard(mutex_);
  return workers_ != 0 || start_worker();
}

bool thread_pool::impl::enqueue(detail::pool_job& job, bool blocks) noexcept {
  bool wake = false;
  bool stalled = false;
  std::shared_ptr<impl> alive;  // the job may be done before we notify, and with it the pool
  {
    const lock guard(mutex_);
    link(job);
    const std::size_t awake = starting_ + (searching_ ? 1U : 0U);
    if (queued_ <= awake + sleeping_) {
      wake = queued_ > awake;
    } else if (workers_ >= (blocks ? max_threads_ : std::min(at_once_, max_threads_)) || !start_worker()) {
      if (workers_ == 0) {
        unlink(job);
        return false;
      }
      if (workers_ < max_threads_ && !watching_) {
        if (!supervised_) supervised_ = start(&impl::supervise);  // else the workers that there are go on
        watching_ = supervised_;
        stalled = watching_;
      }
    }
    if (wake || stalled) alive = shared_from_this();
  }
  if (wake) wake_.notify_one();
  if (stalled) stalled_.notify_one();
  return true;
}

bool thread_pool::impl::withdraw(detail::pool_job& job) noexcept {
  const lock guard(mutex_);
  if (!job.is_linked()) return false;
  unlink(job);
  return true;
}

/// Starts a thread that runs `body` with mutex_ held. With mutex_ held.
bool thread_pool::impl::start(void (impl::*body)(lock&) noexcept) noexcept {
  std::list<std::thread> made;
  try {
    made.emplace_back();
    made.front() = std::thread([this, body, self = made.begin()] {
      // Not those of the thread that happens to start it, which may be the one of the timers.
      ::pthread_sigmask(SIG_SETMASK, &signals_, nullptr);
      ::prctl(PR_SET_NAME, "curfew pool");
      std::thread before;
      {
        lock guard(mutex_);
        (this->*body)(guard);
        if (for_ever_) {
          self->detach();
        } else {
          before = std::exchange(left_, std::move(*self));
        }
        threads_.erase(self);
        if (threads_.empty()) all_left_.notify_all();
      }
      if (before.joinable()) before.join();
    });
  } catch (...) {  // no memory, or the system has no thread for us
    return false;
  }
  threads_.splice(threads_.end(), made);
  return true;
}

bool thread_pool::impl::start_worker() noexcept {
  if (!start(&impl::work)) return false;
  ++workers_;
  ++starting_;
  prepared_.store(true, std::memory_order_relaxed);
  return true;
}

void thread_pool::impl::search() const noexcept {
  const auto began = std::chrono::steady_clock::now();
  // It has to see the same job for a while: what is over by then, because its owner runs it itself, would only
  // take longer if a second thread wanted it too.
  std::uint64_t seen = 0;
  auto seen_since = began;
  for (auto now = began; now - began < search_time; now = std::chrono::steady_clock::now()) {
    const std::uint64_t before = std::exchange(seen, oldest_.load(std::memory_order_relaxed));
    if (seen == 0 || seen != before) {
      seen_since = now;
    } else if (now - seen_since >= owners_time) {
      return;
    }
    for (unsigned i = 0; i != 24; ++i) detail::threads::relax(i);
  }
}

/// \return false if there was nothing to do for so long that the worker may leave.
bool thread_pool::impl::sleep(lock& guard) noexcept {
  const auto called = [this] { return !queue_.empty() || closing_; };
  ++sleeping_;
  while (!wake_.wait_for(guard, idle_time, called) && workers_ == 1) {
  }
  --sleeping_;
  return !queue_.empty();
}

void thread_pool::impl::work(lock& guard) noexcept {
  --starting_;
  for (;;) {
    if (queue_.empty() && !searching_ && !closing_) {
      searching_ = true;
      guard.unlock();
      search();
      guard.lock();
      searching_ = false;
    }
    if (queue_.empty() && !sleep(guard)) break;
    detail::pool_job& job = *queue_.front();
    unlink(job);
    const bool more = !queue_.empty() && sleeping_ != 0 && !searching_;
    guard.unlock();
    if (more) wake_.notify_one();
    job.run(job);
    guard.lock();
  }
  --workers_;
  if (closing_) stalled_.notify_all();
}

void thread_pool::impl::supervise(lock& guard) noexcept {
  const auto may_leave = [this] { return closing_ && workers_ == 0; };
  std::chrono::microseconds busy{0};  // for so long the oldest job has waited while all cores were busy
  while (!may_leave()) {
    if (queue_.empty() || workers_ == max_threads_) {
      watching_ = false;
      if (!stalled_.wait_for(guard, idle_time, [&] { return watching_ || may_leave(); })) break;
      continue;
    }
    const std::uint64_t last = linked_;
    const auto began = std::chrono::steady_clock::now();
    const auto had = processor_time();
    stalled_.wait_for(guard, stall_time, may_leave);
    if (queue_.empty() || queue_.front()->number > last || workers_ == max_threads_) {
      busy = busy.zero();
      continue;
    }
    const auto waited =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
    if (processor_time() - had >= waited * cores_ * 7 / 8) {
      busy += waited;
      if (busy < busy_time) continue;
    }
    busy = busy.zero();
    start_worker();
  }
  watching_ = false;
  supervised_ = false;
}

void thread_pool::impl::close() noexcept {
  lock guard(mutex_);
  closing_ = true;
  wake_.notify_all();
  stalled_.notify_all();
  for (;;) {  // again, because a thread_local object of the last one may post, too
    all_left_.wait(guard, [this] { return threads_.empty(); });
    std::thread last = std::move(left_);
    if (!last.joinable()) return;
    guard.unlock();
    last.join();
    guard.lock();
  }
}

thread_pool::thread_pool(unsigned max_threads) : impl_(std::make_shared<impl>(max_threads)) {}

thread_pool::~thread_pool() { impl_->close(); }

thread_pool& thread_pool::shared() {
  // Never destroyed: exit does not wait for work that does not stop.
  static thread_pool& pool = [] -> thread_pool& {
    auto* made = new thread_pool(64);
    made->impl_->live_for_ever();
    return *made;
  }();
  return pool;
}

namespace {

std::system_error no_thread() {
  return {std::make_error_code(std::errc::resource_unavailable_try_again),
          "curfew::thread_pool: not even one thread can be started"};
}

}  // namespace

void thread_pool::post(std::move_only_function<void()> f, std::source_location where) {
  static constexpr task_kind job_of_pool{"job"};

  struct posted : detail::pool_job {
    const detail::open_task shown;
    const detail::activity counted{detail::counting_clock(background())};  // where it is posted
    std::move_only_function<void()> f;

    posted(std::move_only_function<void()> work, std::source_location made_at) noexcept
        : pool_job([](pool_job& self) noexcept {
            const std::unique_ptr<posted> mine(static_cast<posted*>(&self));
            const detail::working_for task(mine->shown.ref());
            const detail::busy_frame here(mine->counted.clock());
            mine->f();
          }),
          shown(background(), job_of_pool, {}, made_at),
          f(std::move(work)) {}
  };
  auto job = std::make_unique<posted>(std::move(f), where);
  if (!impl_->enqueue(*job, true)) throw no_thread();
  job.release();  // NOLINT(bugprone-unused-return-value): it may be gone by now
}

void detail::pool_access::prepare(thread_pool& pool) {
  if (!pool.impl_->prepare()) throw no_thread();
}

void detail::pool_access::enqueue(thread_pool& pool, pool_job& job, bool blocks) noexcept {
  if (!pool.impl_->enqueue(job, blocks)) std::terminate();  // it has not been prepared
}

bool detail::pool_access::withdraw(thread_pool& pool, pool_job& job) noexcept {
  return pool.impl_->withdraw(job);
}

unsigned detail::pool_access::max_threads(const thread_pool& pool) noexcept {
  return pool.impl_->max_threads();
}

}  // namespace curfew
