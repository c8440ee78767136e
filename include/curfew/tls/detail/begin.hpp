#pragma once

namespace curfew::tls {

/// Before anything else of OpenSSL. At exit it would free what belongs to threads that still run: callers whose calls have
/// just been ended, workers. Each frees its part a second time when it ends. Without its handler the process's memory goes with the
/// process.
/// Thread safety: any thread; again: nothing.
void begin_openssl() noexcept;

}  // namespace curfew::tls
