#pragma once

#include <curfew/core/clock.hpp>

namespace curfew::http {

/// Has the kernel end a TCP connection whose peer gives no sign of life for that long: what was sent is not acknowledged,
/// or, where nothing was, no probe is. A listening socket passes it on. clock::duration::max(): does nothing.
void ends_silent_after(int socket, clock::duration d) noexcept;

}  // namespace curfew::http
