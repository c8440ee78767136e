#include <atomic>
#include <curfew/core/on_done.hpp>
#include <curfew/io/offload.hpp>
#include <memory>
#include <optional>
#include <utility>

namespace curfew::detail {

namespace {

/// A job on its way. The thread of the pool that draws it and the end of the context both try to set `taken`: the
/// first runs it, or gives it up. The pool's queue keeps it alive by `queued`.
struct offload_entry : pool_job, std::enable_shared_from_this<offload_entry> {
  /// The context has ended.
  struct leave {
    std::weak_ptr<offload_entry> entry;

    void operator()() const noexcept {
      const auto e = entry.lock();  // may be the last: then *this goes with it, and is not used after that
      if (e == nullptr || e->taken.exchange(true, std::memory_order_relaxed)) return;
      if (pool_access::withdraw(e->pool, *e)) e->queued.reset();
      e->job.give_up();
    }
  };

  thread_pool& pool;
  offload_job job;
  std::atomic<bool> taken{false};
  std::shared_ptr<offload_entry> queued;
  std::optional<on_done<leave>> ending;  // made before the pool gets the job, and removed before it runs

  offload_entry(thread_pool& p, offload_job j) : pool_job(&run_drawn), pool(p), job(std::move(j)) {}

  static void run_drawn(pool_job& self) noexcept {
    const auto e = std::move(static_cast<offload_entry&>(self).queued);
    if (e->taken.exchange(true, std::memory_order_relaxed)) return;
    e->ending.reset();
    const open_task shown = std::move(e->job.shown);  // over before `e`, which others may keep
    const working_for here(shown.ref());
    e->job.run();
  }
};

}  // namespace

void enqueue(thread_pool& pool, context ctx, offload_job job) {
  const auto e = std::make_shared<offload_entry>(pool, std::move(job));
  e->queued = e;
  e->ending.emplace(ctx, offload_entry::leave{e});
  if (e->taken.load(std::memory_order_relaxed)) {  // ended before
    e->queued.reset();
    return;
  }
  pool_access::enqueue(pool, *e, true);
}

}  // namespace curfew::detail
