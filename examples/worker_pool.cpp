// A few workers for many jobs: they take jobs from one channel and put results into another, and the first
// failure stops them all.

#include <atomic>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/sync.hpp>
#include <iostream>
#include <system_error>
#include <vector>

namespace {

constexpr int workers = 3;

struct job {
  int number;
};
struct answer {
  int number;
  std::uint64_t value;
};

/// The sum of the squares up to n; a negative n is refused.
curfew::result<std::uint64_t> work(const curfew::context& ctx, int n) {
  if (n < 0) return curfew::error(std::make_error_code(std::errc::invalid_argument), "work");
  std::uint64_t sum = 0;
  for (std::uint64_t i = 1; i <= static_cast<std::uint64_t>(n); ++i) {
    if (ctx.err()) return curfew::error::ended(ctx, "work");
    sum += i * i;
  }
  return sum;
}

/// Does all jobs, or stops at the first that fails.
curfew::result<std::uint64_t> total(const curfew::context& ctx, const std::vector<int>& numbers) {
  curfew::channel<job> jobs;
  curfew::channel<answer> answers(workers);
  curfew::task_group group(ctx);
  group.spawn([&](const curfew::context& own) -> curfew::result<> {
    for (int n : numbers) {
      if (auto sent = jobs.send(own, job{n}); !sent) return sent;
    }
    jobs.close();
    return {};
  });
  std::atomic<int> left = workers;
  for (int i = 0; i != workers; ++i) {
    group.spawn([&](const curfew::context& own) -> curfew::result<> {
      for (job next : curfew::drain(own, jobs)) {
        auto value = work(own, next.number);
        if (!value) return value.error();  // cancels the others
        if (auto sent = answers.send(own, answer{next.number, *value}); !sent) return sent;
      }
      if (--left == 0) answers.close();
      return {};
    });
  }
  std::uint64_t sum = 0;
  for (answer next : curfew::drain(group.ctx(), answers)) sum += next.value;
  if (auto joined = group.join(); !joined) return joined.error();
  return sum;
}

void show(const curfew::result<std::uint64_t>& outcome) {
  if (outcome) {
    std::cout << "sum: " << *outcome << '\n';
  } else {
    std::cout << "failed: " << outcome.error() << '\n';
  }
}

}  // namespace

int main() {
  show(total(curfew::background(), {1, 2, 3, 4, 5}));
  show(total(curfew::background(), {1, 2, -3, 4, 5}));
}
