#pragma once

/// What the snippets of redis may name.

#include <curfew/core.hpp>
#include <curfew/redis.hpp>
#include <iostream>

#include "docs/common.hpp"

namespace docs {

namespace redis = curfew::redis;

extern redis::client cache;

}  // namespace docs
