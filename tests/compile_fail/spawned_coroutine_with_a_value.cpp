// A value of a group's coroutine would be lost.
// expect: a coroutine of a group returns asio::awaitable of void
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <curfew/io/task_group.hpp>

boost::asio::awaitable<curfew::result<int>> counts(curfew::context ctx);
boost::asio::awaitable<curfew::result<>> reads(curfew::context ctx);

void start(curfew::task_group& group, const boost::asio::any_io_executor& executor) {
#ifdef CURFEW_MUST_FAIL
  curfew::spawn(group, executor, counts);
#else
  curfew::spawn(group, executor, reads);
#endif
}
