#pragma once

#include <curfew/sync/channel.hpp>
#include <curfew/sync/errc.hpp>
#include <curfew/sync/select.hpp>
#include <curfew/sync/task_group.hpp>
#include <curfew/sync/thread_pool.hpp>
