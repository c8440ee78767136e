#include "base/background_thread.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

namespace curfew_dashboard {

namespace {

constexpr int niceness = 10;

}  // namespace

void become_background_thread() noexcept {
  thread_local const bool done = [] {
    // Of this thread alone: on Linux a thread has its own. Where it is refused the work runs as everybody
    // else.
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), niceness);
    const sched_param ordinary{};
    ::sched_setscheduler(0, SCHED_BATCH, &ordinary);  // 0: the calling thread
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace curfew_dashboard
