#pragma once

#include <curfew/core/key.hpp>

namespace curfew::detail {

/// Tasks under a context with this value are not recorded: the work of those that look on.
inline constexpr key<bool> unseen_tasks{"unseen"};

}  // namespace curfew::detail
