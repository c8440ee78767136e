#include <curfew/core/detail/threads.hpp>

#ifndef CURFEW_THREADS_HEADER

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace curfew::detail::threads {

// The kernel compares and hashes the word's address; nothing else of std::atomic is relied on.
static_assert(sizeof(atomic<std::uint32_t>) == sizeof(std::uint32_t));

void sleep_while(const atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void wake(const atomic<std::uint32_t>* word) noexcept {
  ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace curfew::detail::threads

#endif
