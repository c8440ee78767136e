#pragma once

/// What every snippet may use.

#include <chrono>

namespace docs {

using namespace std::chrono_literals;

/// `…` in a snippet: statements that are left out.
[[noreturn]] void left_out();

}  // namespace docs
