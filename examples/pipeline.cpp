// Three stages, each in a thread of its own: numbers, their squares, a sum. Without an argument it counts to
// 1000 and drains; with "forever" it goes on until Ctrl-C, and then dies in all three stages at once.

#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <iostream>
#include <string_view>
#include <utility>

namespace {

using numbers = curfew::channel<std::uint64_t>;

curfew::result<> count(const curfew::context& ctx, std::uint64_t to, numbers& out) {
  for (std::uint64_t n = 1; n <= to; ++n) {
    if (auto sent = out.send(ctx, n); !sent) return sent;
  }
  out.close();
  return {};
}

curfew::result<> square(const curfew::context& ctx, numbers& in, numbers& out) {
  for (auto n : curfew::drain(ctx, in)) {
    if (auto sent = out.send(ctx, n * n); !sent) return sent;
  }
  if (ctx.err()) return curfew::error::ended(ctx, "square");
  out.close();
  return {};
}

int run_stages(const curfew::context& ctx, bool forever) {
  numbers counted(16);
  numbers squared(16);
  curfew::task_group stages(ctx);
  stages.spawn([&](const curfew::context& own) { return count(own, forever ? UINT64_MAX : 1000, counted); });
  stages.spawn([&](const curfew::context& own) { return square(own, counted, squared); });

  std::uint64_t sum = 0;
  bool first = true;
  for (auto n : curfew::drain(stages.ctx(), squared)) {
    if (std::exchange(first, false)) std::cout << "running" << std::endl;
    sum += n;
  }
  if (auto ended = stages.join(); !ended) {
    std::cout << "stopped: " << ended.error() << '\n';
    return 1;
  }
  std::cout << "sum of squares: " << sum << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool forever = argc > 1 && std::string_view(argv[1]) == "forever";
  return curfew::run([forever](const curfew::context& ctx) { return run_stages(ctx, forever); });
}
