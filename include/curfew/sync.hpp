#pragma once

/// Waiting that obeys a context, for threads: what Go's programmers have around theirs.
///
/// Each function that waits takes a `ctx` and gives up when it ends. What is canceled did not happen: nothing is
/// taken, sent, locked or counted by it. Nothing overtakes a wait. The asynchronous twins, for coroutines and
/// handlers, are in curfew/io.hpp: they wait in the same queues.

#include <curfew/sync/channel.hpp>
#include <curfew/sync/condition.hpp>
#include <curfew/sync/drain.hpp>
#include <curfew/sync/grace.hpp>
#include <curfew/sync/hedge.hpp>
#include <curfew/sync/mutex.hpp>
#include <curfew/sync/once.hpp>
#include <curfew/sync/race.hpp>
#include <curfew/sync/rate_limit.hpp>
#include <curfew/sync/retry.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/sync/semaphore.hpp>
#include <curfew/sync/sleep.hpp>
#include <curfew/sync/task_group.hpp>
#include <curfew/sync/thread_pool.hpp>
