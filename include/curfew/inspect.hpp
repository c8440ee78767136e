#pragma once

/// What a program is working on, for whom, since when, what it waits for, and what was told to stop and has not.
///
///     const curfew::inspect::inspection on;   // first thing in main
///
/// From then on the library's and the user's tasks are recorded, and those that go on after their context has ended
/// are reported by name. `curfew::inspect::each_task` and its neighbours tell what there is; the module console shows it.

#include <curfew/inspect/inspection.hpp>
#include <curfew/inspect/stack.hpp>
#include <curfew/inspect/tasks.hpp>
