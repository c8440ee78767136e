// The tree of contexts beside Go's and, where there is something like it, beside std::stop_source and
// Boost.Asio. The rows are in bench/core; the same in Go: bench/peers/go/core.

#include <exception>
#include <iostream>
#include <vector>

#include "core/rows.hpp"

int main(int argc, char** argv) try {
  using namespace curfew::bench;
  std::vector<measurement> all;
  for (const auto& rows : {tree_rows(), memory_rows(), thread_rows(), callback_rows(), waiting_rows()})
    all.insert(all.end(), rows.begin(), rows.end());
  comparison("Core", argc, argv).run(all, "core");
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
