#include "base/background_thread.hpp"

#include <linux/sched.h>
#include <linux/sched/types.h>

#include <sys/syscall.h>
#include <unistd.h>

namespace curfew_dashboard {

namespace {

constexpr int niceness = 10;

/// Longer than that of an ordinary thread, 3 ms or less. Kernels that know it (6.12 and later) let a thread
/// that wakes up interrupt one with a longer slice at once, where it would otherwise wait for the end of the
/// slice.
constexpr unsigned long long slice_ns = 20'000'000;

}  // namespace

void become_background_thread() noexcept {
  thread_local const bool done = [] {
    sched_attr wanted{};
    wanted.size = sizeof wanted;
    wanted.sched_policy = SCHED_BATCH;
    wanted.sched_nice = niceness;
    wanted.sched_runtime = slice_ns;
    // Of the calling thread alone. Where it is refused the work runs as everybody else.
    ::syscall(SYS_sched_setattr, 0, &wanted, 0);
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace curfew_dashboard
