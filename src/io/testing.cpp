#include <boost/asio/post.hpp>
#include <chrono>
#include <cstdio>
#include <curfew/io/testing.hpp>

namespace curfew::detail {

clock_loop::clock_loop(const context& root, boost::asio::io_context& io)
    : io_(io),
      work_(boost::asio::make_work_guard(io)),
      root_(root),
      driver_(root, [&io] { boost::asio::post(io, [] {}); }) {
  io.restart();
}

void clock_loop::run(const bool& is_over) {
  constexpr std::chrono::seconds stall_time{5};
  for (bool told = false;;) {
    while (!is_over && io_.poll_one() != 0) told = false;
    if (is_over) return;
    if (const auto stamp = driver_.alone()) {
      // Once more: what others have posted to the io_context they posted before they were done.
      if (io_.poll_one() != 0 || driver_.jump(*stamp)) {
        told = false;
        continue;
      }
    }
    if (io_.run_one_for(stall_time) == 0 && !told) {
      told = true;
      std::fprintf(stderr, "curfew::testing::run: nothing has moved for 5 s: %s\n",
                   describe(state_of_manual_root(root_)).c_str());
    }
  }
}

}  // namespace curfew::detail
