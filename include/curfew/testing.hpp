#pragma once

/// What tests of code that takes a context need.

#include <curfew/testing/manual_clock.hpp>
