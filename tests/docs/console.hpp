#pragma once

/// What the snippets of the console and of the pages may name.

#include <curfew/console.hpp>
#include <curfew/inspect.hpp>

#include "docs/http.hpp"
