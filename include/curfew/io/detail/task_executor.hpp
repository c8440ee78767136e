#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <curfew/core/detail/task_hooks.hpp>

namespace curfew::detail {

/// `executor`, such that what runs on it works for `task`, or for what nests in that: a coroutine that is spawned on it is
/// followed wherever it goes on. Without a task it is `executor`. One that works for another task is not wrapped twice.
[[nodiscard]] boost::asio::any_io_executor working_for_on(task_ref task,
                                                          boost::asio::any_io_executor executor);

}  // namespace curfew::detail
