// The waiting of threads and coroutines beside Go's, and, where there is something like it, beside a queue
// with a mutex and a condition variable, std::async, and Boost.Asio's experimental channel. The rows are in
// bench/sync; the same in Go: bench/peers/go/sync.

#include <exception>
#include <iostream>
#include <vector>

#include "sync/rows.hpp"

int main(int argc, char** argv) try {
  using namespace curfew::bench;
  std::vector<measurement> all;
  for (const auto& rows : {channel_rows(), group_rows()}) all.insert(all.end(), rows.begin(), rows.end());
  comparison("Channels, select, task groups", argc, argv).run(all, "sync");
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
