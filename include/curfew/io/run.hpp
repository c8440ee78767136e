#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <functional>
#include <type_traits>
#include <utility>

namespace curfew {

namespace detail {
int run_coroutine(std::function<boost::asio::awaitable<int>(context)> main);
int run_function(const std::function<int(const context&)>& main);
}  // namespace detail

/// Runs a program under a context that SIGINT or SIGTERM ends:
///
///     int main() { return curfew::run(serve); }   // asio::awaitable<int> serve(curfew::context ctx)
///
/// `main` is a coroutine, which runs on an event loop in this thread, or a plain function, which runs in a thread
/// of its own while this one takes the signals; it returns int or void. The first signal ends its context with
/// errc::canceled and a cause that names the signal ("SIGTERM"). A second one exits the process at once with
/// 128 + its number, for the case that the work does not stop.
///
/// \return what `main` returns, as the exit code; 0 for void.
/// Throws:   what `main` throws. std::system_error if a thread cannot be started.
/// Coroutines that are still suspended when main returns are destroyed.
/// System calls:  a signal of the process goes to its first thread. Where run is called there, as in `int main()`,
///                it interrupts no system call of a plain `main` (no EINTR).
/// Child processes: no signal is blocked, so a child process can be interrupted and terminated as ever. Between fork
///                and exec, too, a signal of the child is the child's alone.
/// Thread safety: one at a time in a process: both signals are its own until it returns, and then are handled as
///                before.
template <class Main>
int run(Main main) {
  using returned = std::invoke_result_t<Main&, context>;
  if constexpr (std::is_same_v<returned, boost::asio::awaitable<int>>) {
    return detail::run_coroutine(std::move(main));
  } else if constexpr (std::is_same_v<returned, boost::asio::awaitable<void>>) {
    return detail::run_coroutine(
        [main = std::move(main)](context ctx) mutable -> boost::asio::awaitable<int> {
          co_await main(std::move(ctx));
          co_return 0;
        });
  } else if constexpr (std::is_void_v<returned>) {
    return detail::run_function([&](const context& ctx) {
      main(ctx);
      return 0;
    });
  } else {
    static_assert(std::is_convertible_v<returned, int>,
                  "curfew::run: main returns int, void, asio::awaitable<int> or asio::awaitable<void>");
    return detail::run_function([&](const context& ctx) { return static_cast<int>(main(ctx)); });
  }
}

}  // namespace curfew
