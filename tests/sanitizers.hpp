#pragma once

namespace curfew::tests {

/// Whether the tests run under ThreadSanitizer, which ends forked children that start threads, reports threads that
/// a process does not join before it exits, and runs signal handlers late.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool under_thread_sanitizer = true;
#else
inline constexpr bool under_thread_sanitizer = false;
#endif
#else
inline constexpr bool under_thread_sanitizer = false;
#endif

}  // namespace curfew::tests
