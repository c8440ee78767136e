#include "ledger/cpu_clock.hpp"

#include <pthread.h>

namespace curfew_dashboard {

cpu_clock::cpu_clock() noexcept : id_(CLOCK_THREAD_CPUTIME_ID) {
  // CLOCK_THREAD_CPUTIME_ID means "the caller's": this id means the same thread to everybody.
  if (clockid_t id = 0; ::pthread_getcpuclockid(::pthread_self(), &id) == 0) id_ = id;
}

std::chrono::nanoseconds cpu_clock::now() const noexcept {
  timespec spent{};
  if (::clock_gettime(id_, &spent) != 0) return {};
  return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
}

}  // namespace curfew_dashboard
