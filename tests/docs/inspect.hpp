#pragma once

/// What the snippets of inspect may name.

#include <curfew/core.hpp>
#include <curfew/inspect.hpp>

#include "docs/common.hpp"
