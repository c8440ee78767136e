#pragma once

// What inspection needs of a context beyond what everybody may do with it.

#include <curfew/core/cause.hpp>
#include <curfew/core/context.hpp>
#include <string>
#include <vector>

namespace curfew::detail {

/// Ends `ctx` by an operator's hand, with all below it, with errc::canceled.
/// \return false: it cannot end, or has ended.
bool end_by_hand(const context& ctx, cause why) noexcept;

struct shown_value {
  const char* key;
  std::string value;
};

/// The values whose keys allow that, nearest first, one for each key.
/// Throws: std::bad_alloc, and what printing a value throws.
[[nodiscard]] std::vector<shown_value> shown_values(const context& ctx);

}  // namespace curfew::detail
