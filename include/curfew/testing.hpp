#pragma once

/// What tests of code that takes a context need. For coroutines see also curfew/io/testing.hpp.

#include <curfew/testing/fault_proxy.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <curfew/testing/thread.hpp>
