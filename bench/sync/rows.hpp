#pragma once

#include <vector>

#include "side_by_side.hpp"

namespace curfew::bench {

std::vector<measurement> channel_rows();
std::vector<measurement> group_rows();

}  // namespace curfew::bench
