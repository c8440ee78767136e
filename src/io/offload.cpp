#include <chrono>
#include <condition_variable>
#include <curfew/core/on_done.hpp>
#include <curfew/io/offload.hpp>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

namespace curfew {

namespace {

constexpr std::chrono::seconds idle_time{10};  // after which a thread without work ends

/// A job on its way. Whoever moves `where` to `taken` or `gone`, under the pool's mutex, runs it or gives it
/// up.
struct entry {
  enum class place { outside, queued, taken, gone };

  /// The context has ended.
  struct leave {
    std::weak_ptr<thread_pool::impl> pool;
    std::weak_ptr<entry> job;

    void operator()() const noexcept;
  };

  detail::offload_job job;
  place where = place::outside;                        // guarded by the pool's mutex
  std::list<std::shared_ptr<entry>>::iterator self{};  // valid while queued
  std::optional<on_done<leave>> ending;
};

}  // namespace

struct thread_pool::impl : std::enable_shared_from_this<thread_pool::impl> {
  explicit impl(unsigned limit) : max_threads_(limit > 0 ? limit : 1) {}

  void enqueue(const context& ctx, detail::offload_job job);
  bool withdraw(entry& e) noexcept;
  void close() noexcept;

 private:
  void start_thread();
  void work() noexcept;

  std::mutex mutex_;
  std::condition_variable wake_;             // there is a job, or `closing_`
  std::condition_variable all_left_;         // threads_ == 0
  std::list<std::shared_ptr<entry>> queue_;  // guarded by mutex_, as all below
  std::size_t idle_ = 0;
  unsigned threads_ = 0;
  bool closing_ = false;
  const unsigned max_threads_;
};

namespace {

void entry::leave::operator()() const noexcept {
  const auto p = pool.lock();
  const auto e = job.lock();  // may be the last: then *this goes with it, and is not used after that
  if (p && e && p->withdraw(*e)) e->job.give_up();
}

}  // namespace

void thread_pool::impl::enqueue(const context& ctx, detail::offload_job job) {
  auto e = std::make_shared<entry>();
  e->job = std::move(job);
  e->ending.emplace(ctx, entry::leave{weak_from_this(), e});
  {
    const std::lock_guard guard(mutex_);
    if (e->where == entry::place::gone) return;
    e->self = queue_.insert(queue_.end(), e);
    e->where = entry::place::queued;
    if (idle_ < queue_.size() && threads_ < max_threads_) start_thread();
  }
  wake_.notify_one();
}

bool thread_pool::impl::withdraw(entry& e) noexcept {
  const std::lock_guard guard(mutex_);
  if (e.where == entry::place::taken || e.where == entry::place::gone) return false;
  if (e.where == entry::place::queued) queue_.erase(e.self);
  e.where = entry::place::gone;
  return true;
}

void thread_pool::impl::start_thread() {
  try {
    std::thread([self = shared_from_this()] { self->work(); }).detach();
    ++threads_;
  } catch (const std::system_error&) {
    if (threads_ == 0) std::terminate();  // nobody would ever run the job
  }
}

void thread_pool::impl::work() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    const bool called = wake_.wait_for(lock, idle_time, [this] { return !queue_.empty() || closing_; });
    --idle_;
    if (queue_.empty() && (closing_ || !called)) break;
    std::shared_ptr<entry> e = std::move(queue_.front());
    queue_.pop_front();
    e->where = entry::place::taken;
    lock.unlock();
    e->ending.reset();  // may wait for the callback, which takes the mutex
    e->job.run();
    e.reset();
    lock.lock();
  }
  if (--threads_ == 0) all_left_.notify_all();
}

void thread_pool::impl::close() noexcept {
  std::unique_lock lock(mutex_);
  closing_ = true;
  wake_.notify_all();
  all_left_.wait(lock, [this] { return threads_ == 0; });
}

thread_pool::thread_pool(unsigned max_threads) : impl_(std::make_shared<impl>(max_threads)) {}

thread_pool::~thread_pool() { impl_->close(); }

thread_pool& thread_pool::shared() {
  static auto* pool = new thread_pool(64);  // never destroyed: exit does not wait for work that does not stop
  return *pool;
}

struct offload_access {
  static thread_pool::impl& of(thread_pool& pool) { return *pool.impl_; }
};

void detail::enqueue(thread_pool& pool, context ctx, offload_job job) {
  offload_access::of(pool).enqueue(ctx, std::move(job));
}

}  // namespace curfew
