#pragma once

/// Looking at the tasks of a process from outside: a page, JSON, metrics.

#include <curfew/console/console.hpp>
#include <curfew/console/routes.hpp>
