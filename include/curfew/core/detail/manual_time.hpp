#pragma once

// The manual clock's half that lives in core; users take testing::manual_clock.

#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>

namespace curfew::detail {

/// A root whose clock stands still at the epoch.
[[nodiscard]] context make_manual_root();

/// Moves the clock of a root made above; runs what falls due.
void advance_manual_root(const context& root, clock::duration step) noexcept;

/// Moves it to the next deadline and runs what falls due then.
/// \return false if there is none.
bool advance_manual_root_to_next(const context& root) noexcept;

/// From now on moves it so whenever this many threads wait. 0: no longer.
void autojump_manual_root(const context& root, int threads) noexcept;

}  // namespace curfew::detail
