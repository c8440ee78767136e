// Ask several shards at the same time, each of them once more if it takes long, and give up as a whole when
// the budget is spent.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/sync.hpp>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

/// A part of an index. Its first answer may take its time, as that of a machine that is busy right then.
class shard {
 public:
  shard(std::string name, curfew::clock::duration first) : name_(std::move(name)), first_(first) {}

  curfew::result<std::string> ask(const curfew::context& ctx) {
    const bool is_first = asked_.fetch_add(1) == 0;
    if (auto slept = curfew::sleep_for(ctx, is_first ? first_ : 1ms); !slept) return slept.error();
    return name_;
  }

  [[nodiscard]] int asked() const { return asked_; }

 private:
  std::string name_;
  curfew::clock::duration first_;
  std::atomic<int> asked_{0};
};

curfew::result<std::vector<std::string>> ask_all(const curfew::context& ctx, std::vector<shard*> shards) {
  std::vector<std::string> answers(shards.size());
  curfew::task_group group(ctx);
  for (std::size_t i = 0; i != shards.size(); ++i) {
    group.spawn([&, i](const curfew::context& own) -> curfew::result<> {
      const auto ask = [&](const curfew::context& of_try) { return shards[i]->ask(of_try); };
      auto answer = curfew::hedge(own, 20ms, ask);  // a second try after 20 ms; the loser is canceled
      if (!answer) return answer.error();
      answers[i] = *std::move(answer);
      return {};
    });
  }
  if (auto joined = group.join(); !joined) return joined.error();
  return answers;
}

void show(const curfew::result<std::vector<std::string>>& answers) {
  if (!answers) {
    std::cout << "failed: " << answers.error() << '\n';
    return;
  }
  for (const std::string& each : *answers) std::cout << each << ' ';
  std::cout << '\n';
}

}  // namespace

int main() {
  shard a("a", 1ms);
  shard b("b", 10min);  // stuck: the hedge saves it
  shard c("c", 1ms);
  const auto budget = curfew::with_timeout(curfew::background(), 5s);
  show(ask_all(budget, {&a, &b, &c}));
  std::cout << "b was asked " << b.asked() << " times\n";

  const auto none = curfew::with_timeout(curfew::background(), 0s, "no budget left");
  show(ask_all(none, {&a}));
}
