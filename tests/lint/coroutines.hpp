#pragma once

#include <coroutine>
#include <curfew/core.hpp>
#include <curfew/sync/sleep.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The names of Asio and of curfew/io that the checks know, without the seconds that Boost's headers take.

namespace boost::asio {

template <class T>
struct promise_base {
  void return_value(T) {}
};
template <>
struct promise_base<void> {
  void return_void() {}
};

template <class T>
class [[nodiscard]] awaitable {
 public:
  struct promise_type : promise_base<T> {
    awaitable get_return_object() { return {}; }
    std::suspend_always initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void unhandled_exception() {}
  };
  bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<>) {}
  T await_resume() { return value(); }

 private:
  static T value();
};

struct detached_t {};
inline constexpr detached_t detached;
class io_context {};

template <class T>
void co_spawn(io_context&, awaitable<T>, detached_t) {}
template <class F>
void co_spawn(io_context&, F, detached_t) {}

}  // namespace boost::asio

namespace curfew {

boost::asio::awaitable<result<>> async_sleep_for(context ctx, clock::duration d);

}  // namespace curfew

namespace asio = boost::asio;
using namespace std::chrono_literals;
