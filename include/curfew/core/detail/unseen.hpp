#pragma once

#include <curfew/core/key.hpp>

namespace curfew::detail {

/// Tasks under a context with this value are not recorded: the work of the inspection itself.
inline constexpr key<bool> unseen_tasks{"unseen"};

}  // namespace curfew::detail
