#include "base/thread_priority.hpp"

#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace curfew_dashboard {

namespace {

constexpr int background_niceness = 10;

// How long a thread may run before another gets its turn: a thread that wakes up may interrupt one with a
// longer slice.
constexpr unsigned long long prompt_slice_ns = 100'000;  // the least that the kernel takes
constexpr unsigned long long ordinary_slice_ns = 3'000'000;

/// Of the calling thread alone. Where it is refused the thread runs as before.
void schedule(unsigned policy, int niceness, unsigned long long slice_ns) noexcept {
  sched_attr wanted{};
  wanted.size = sizeof wanted;
  wanted.sched_policy = policy;
  wanted.sched_nice = niceness;
  wanted.sched_runtime = slice_ns;
  ::syscall(SYS_sched_setattr, 0, &wanted, 0);
}

int own_niceness() noexcept { return ::getpriority(PRIO_PROCESS, 0); }

}  // namespace

void become_prompt_thread() noexcept { schedule(SCHED_NORMAL, own_niceness(), prompt_slice_ns); }

void become_background_thread() noexcept {
  thread_local const bool done = [] {
    schedule(SCHED_BATCH, std::max(own_niceness(), background_niceness), ordinary_slice_ns);
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace curfew_dashboard
