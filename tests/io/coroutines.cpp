#include "io/coroutines.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

namespace curfew::testing {

namespace asio = boost::asio;

place::place(asio::io_context& io) : executor(io.get_executor()) {}
place::place(asio::thread_pool& pool) : executor(pool.get_executor()) {}

void spawn(const place& on, asio::awaitable<void> what, asio::cancellation_slot slot) {
  asio::co_spawn(on.executor, std::move(what), asio::bind_cancellation_slot(slot, asio::detached));
}

std::string told(std::future<result<>>& f) {
  if (!over(f)) return "not over";
  const auto got = f.get();
  return got ? "no error" : got.error().message();
}

void poll(asio::io_context& io) {
  io.restart();
  io.poll();
}

}  // namespace curfew::testing
