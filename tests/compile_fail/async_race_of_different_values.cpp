// One value comes out of a race.
// expect: all coroutines have to return the same curfew::result<T>
#include <boost/asio/awaitable.hpp>
#include <curfew/io/race.hpp>
#include <string>

template <class T>
using coroutine = boost::asio::awaitable<curfew::result<T>>;

coroutine<int> number(curfew::context ctx);
coroutine<std::string> word(curfew::context ctx);

coroutine<int> first(curfew::context ctx) {
#ifdef CURFEW_MUST_FAIL
  co_return co_await curfew::async_race(ctx, number, word);
#else
  co_return co_await curfew::async_race(ctx, number, number);
#endif
}
