#include <curfew/core/detail/manual_time.hpp>
#include <curfew/testing/manual_clock.hpp>

namespace curfew::testing {

manual_clock::manual_clock() : root_(detail::make_manual_root()) {}

manual_clock::~manual_clock() = default;

void manual_clock::advance(clock::duration step) noexcept { detail::advance_manual_root(root_, step); }

bool manual_clock::advance_to_next() noexcept { return detail::advance_manual_root_to_next(root_); }

void manual_clock::autojump(int threads) noexcept { detail::autojump_manual_root(root_, threads); }

}  // namespace curfew::testing
