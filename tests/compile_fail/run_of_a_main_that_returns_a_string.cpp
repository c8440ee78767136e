// The exit code of a program is a number.
// expect: curfew::run: main returns int, void, asio::awaitable<int> or asio::awaitable<void>
#include <curfew/io/run.hpp>
#include <string>

#ifdef CURFEW_MUST_FAIL
std::string work(const curfew::context& ctx);
#else
int work(const curfew::context& ctx);
#endif

int start() { return curfew::run(work); }
