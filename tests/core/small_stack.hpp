#pragma once

#include <cstddef>
#include <pthread.h>
#include <stdexcept>

namespace curfew::testing {

/// Runs `f` in a thread with a stack of 256 KB, and waits for it: whatever recurses a million times ends
/// there.
template <class F>
void run_on_a_small_stack(F f) {
  constexpr std::size_t stack_size = 256 * 1024;
  pthread_attr_t attributes;
  pthread_t thread;
  if (pthread_attr_init(&attributes) != 0 || pthread_attr_setstacksize(&attributes, stack_size) != 0 ||
      pthread_create(
          &thread, &attributes,
          [](void* self) -> void* {
            (*static_cast<F*>(self))();
            return nullptr;
          },
          &f) != 0) {
    throw std::runtime_error("no thread with a small stack");
  }
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

}  // namespace curfew::testing
