#pragma once

/// Contexts in Boost.Asio: any operation obeys one. Channels and groups are awaited, work goes to threads and
/// comes back, a signal ends main.

#include <curfew/io/completion.hpp>
#include <curfew/io/condition.hpp>
#include <curfew/io/extend.hpp>
#include <curfew/io/hangup.hpp>
#include <curfew/io/hedge.hpp>
#include <curfew/io/offload.hpp>
#include <curfew/io/once.hpp>
#include <curfew/io/pool.hpp>
#include <curfew/io/race.hpp>
#include <curfew/io/rate_limit.hpp>
#include <curfew/io/retry.hpp>
#include <curfew/io/run.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/io/task_group.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/io/with.hpp>
