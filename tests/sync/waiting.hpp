#pragma once

#include <cstddef>
#include <curfew/sync/channel.hpp>
#include <mutex>
#include <thread>

namespace curfew::testing {

/// Lets other threads run until something is so. A test in which it never comes hangs, and ctest ends it.
template <class Condition>
void await(Condition condition) {
  while (!condition()) std::this_thread::yield();
}

inline std::size_t length(const detail::wait_list& list) {
  std::size_t n = 0;
  list.for_each([&n](const detail::wait_entry& /*each*/) { ++n; });
  return n;
}

/// How many entries of receivers the channel holds: of those who wait, and of those who are about to leave.
template <class T>
std::size_t receivers_at(channel<T>& c) {
  const std::lock_guard guard(detail::channel_access::state(c).lock);
  return length(detail::channel_access::state(c).receivers());
}

/// As receivers_at, of senders.
template <class T>
std::size_t senders_at(channel<T>& c) {
  const std::lock_guard guard(detail::channel_access::state(c).lock);
  return length(detail::channel_access::state(c).senders());
}

/// Of both.
template <class T>
std::size_t parties_at(channel<T>& c) {
  return receivers_at(c) + senders_at(c);
}

}  // namespace curfew::testing
