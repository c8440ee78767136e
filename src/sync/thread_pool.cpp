#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <curfew/core/detail/threads.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

// Who waits how. A thread without work looks for some for a while without sleeping, but only one at a time: a
// job that comes then needs nobody to be woken, which would take longer than many jobs do. The others sleep.
//
// How many threads. Jobs that block get a thread each, up to the limit. Of the others, which compute, more than
// one for each core would not be done sooner, and one core is the caller's; but as a job may block in ways that
// are not known here, a supervisor adds a thread whenever the queue has stood still for a millisecond.

namespace curfew {

namespace {

constexpr std::chrono::seconds idle_time{10};         // after which a thread without work ends
constexpr std::chrono::milliseconds stall_time{1};    // after which one more thread starts
constexpr std::chrono::microseconds search_time{50};  // before a thread without work sleeps

}  // namespace

struct thread_pool::impl : std::enable_shared_from_this<thread_pool::impl> {
  explicit impl(unsigned limit) : max_threads_(std::max(limit, 1U)) {}

  void enqueue(detail::pool_job& job, bool blocks) noexcept;
  bool withdraw(detail::pool_job& job) noexcept;
  void close() noexcept;
  [[nodiscard]] unsigned max_threads() const noexcept { return max_threads_; }

 private:
  void start_thread() noexcept;
  void work() noexcept;
  void supervise() noexcept;
  void search() const noexcept;
  void link(detail::pool_job& job) noexcept;
  void unlink(detail::pool_job& job) noexcept;

  std::mutex mutex_;
  std::condition_variable wake_;        // there is a job, or closing_
  std::condition_variable stalled_;     // the supervisor has something to look at, or closing_
  std::condition_variable all_left_;    // threads_ == 0 and the supervisor has gone
  detail::pool_job* first_ = nullptr;   // guarded by mutex_, as all below; circular
  std::atomic<std::size_t> queued_{0};  // written with mutex_ held
  std::uint64_t taken_ = 0;             // how many jobs have been taken from the queue so far
  unsigned sleeping_ = 0;
  unsigned threads_ = 0;
  bool searching_ = false;   // a thread looks for work, and looks again before it sleeps
  bool supervised_ = false;  // there is a supervisor
  bool watching_ = false;    // it is not asleep
  bool closing_ = false;
  const unsigned at_once_ = std::max(std::thread::hardware_concurrency(), 2U) - 1;
  const unsigned max_threads_;
};

void thread_pool::impl::link(detail::pool_job& job) noexcept {
  if (first_ == nullptr) {
    job.next = &job;
    job.prev = &job;
    first_ = &job;
  } else {
    job.next = first_;
    job.prev = first_->prev;
    first_->prev->next = &job;
    first_->prev = &job;
  }
  queued_.store(queued_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void thread_pool::impl::unlink(detail::pool_job& job) noexcept {
  if (job.next == &job) {
    first_ = nullptr;
  } else {
    if (first_ == &job) first_ = job.next;
    job.next->prev = job.prev;
    job.prev->next = job.next;
  }
  job.next = nullptr;
  job.prev = nullptr;
  queued_.store(queued_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

void thread_pool::impl::enqueue(detail::pool_job& job, bool blocks) noexcept {
  bool wake = false;
  bool stalled = false;
  {
    const std::lock_guard guard(mutex_);
    link(job);
    const std::size_t waiting = queued_.load(std::memory_order_relaxed);
    const std::size_t coming = sleeping_ + (searching_ ? 1 : 0);
    if (waiting <= coming) {
      wake = waiting > (searching_ ? 1U : 0U);
    } else if (threads_ < (blocks ? max_threads_ : std::min(at_once_, max_threads_))) {
      start_thread();
    } else if (threads_ < max_threads_ && !watching_) {
      stalled = true;
      watching_ = true;
      if (!supervised_) {
        supervised_ = true;
        try {
          std::thread([self = shared_from_this()] { self->supervise(); }).detach();
        } catch (const std::system_error&) {  // the threads that there are go on
          supervised_ = false;
          watching_ = false;
        }
      }
    }
  }
  if (wake) wake_.notify_one();
  if (stalled) stalled_.notify_one();
}

bool thread_pool::impl::withdraw(detail::pool_job& job) noexcept {
  const std::lock_guard guard(mutex_);
  if (job.next == nullptr) return false;
  unlink(job);
  return true;
}

void thread_pool::impl::start_thread() noexcept {
  try {
    std::thread([self = shared_from_this()] { self->work(); }).detach();
    ++threads_;
  } catch (const std::system_error&) {
    if (threads_ == 0) std::terminate();  // nobody would ever run the job
  }
}

void thread_pool::impl::search() const noexcept {
  const auto until = std::chrono::steady_clock::now() + search_time;
  // It looks every microsecond or so: what is over by then, because its owner runs it himself, would only take
  // longer if a second thread wanted it too.
  do {
    for (unsigned i = 0; i != 48; ++i) detail::threads::relax(i);
    if (queued_.load(std::memory_order_relaxed) != 0) return;
  } while (std::chrono::steady_clock::now() < until);
}

void thread_pool::impl::work() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (first_ == nullptr && !searching_ && !closing_) {
      searching_ = true;
      lock.unlock();
      search();
      lock.lock();
      searching_ = false;
    }
    if (first_ == nullptr) {
      ++sleeping_;
      const bool called = wake_.wait_for(lock, idle_time, [this] { return first_ != nullptr || closing_; });
      --sleeping_;
      if (first_ == nullptr && (closing_ || !called)) break;
    }
    detail::pool_job& job = *first_;
    unlink(job);
    ++taken_;
    // Who found nobody to wake, because one thread was searching, relied on it to see to the rest.
    const bool more = first_ != nullptr && sleeping_ != 0 && !searching_;
    lock.unlock();
    if (more) wake_.notify_one();
    job.run(job);
    lock.lock();
  }
  if (--threads_ == 0 && !supervised_) all_left_.notify_all();
}

void thread_pool::impl::supervise() noexcept {
  std::unique_lock lock(mutex_);
  while (!closing_) {
    if (first_ == nullptr || threads_ == max_threads_) {
      watching_ = false;
      if (!stalled_.wait_for(lock, idle_time, [this] { return watching_ || closing_; })) break;
      continue;
    }
    const std::uint64_t before = taken_;
    stalled_.wait_for(lock, stall_time, [this] { return closing_; });
    if (first_ != nullptr && taken_ == before && threads_ < max_threads_) start_thread();
  }
  watching_ = false;
  supervised_ = false;
  if (threads_ == 0) all_left_.notify_all();
}

void thread_pool::impl::close() noexcept {
  std::unique_lock lock(mutex_);
  closing_ = true;
  wake_.notify_all();
  stalled_.notify_all();
  all_left_.wait(lock, [this] { return threads_ == 0 && !supervised_; });
}

thread_pool::thread_pool(unsigned max_threads) : impl_(std::make_shared<impl>(max_threads)) {}

thread_pool::~thread_pool() { impl_->close(); }

thread_pool& thread_pool::shared() {
  static auto* pool = new thread_pool(64);  // never destroyed: exit does not wait for work that does not stop
  return *pool;
}

void thread_pool::post(std::move_only_function<void()> f) {
  struct posted : detail::pool_job {
    std::move_only_function<void()> f;

    explicit posted(std::move_only_function<void()> work) noexcept
        : pool_job([](pool_job& self) noexcept {
            const std::unique_ptr<posted> mine(static_cast<posted*>(&self));
            mine->f();
          }),
          f(std::move(work)) {}
  };
  auto job = std::make_unique<posted>(std::move(f));
  impl_->enqueue(*job.release(), true);
}

void detail::pool_access::enqueue(thread_pool& pool, pool_job& job, bool blocks) noexcept {
  pool.impl_->enqueue(job, blocks);
}

bool detail::pool_access::withdraw(thread_pool& pool, pool_job& job) noexcept {
  return pool.impl_->withdraw(job);
}

unsigned detail::pool_access::max_threads(const thread_pool& pool) noexcept {
  return pool.impl_->max_threads();
}

}  // namespace curfew
