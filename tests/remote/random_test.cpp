#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "remote/hub_fixture.hpp"
#include "remote/other_process.hpp"

namespace curfew::remote {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds lease{500};

/// Another process, and what it has said so far of ends.
class player {
 public:
  explicit player(const std::string& url) : process_(url, lease) {}

  /// Its answer; "failed: …" too.
  std::string ask(const std::string& line) {
    process_.tell(line);
    return hear();
  }
  void tell(const std::string& line) { process_.tell(line); }
  /// "ended joined 3: …" is kept as ends["joined 3"] = "…".
  std::map<std::string, std::string> ends;

  void stop() { process_.kill(SIGSTOP), is_stopped_ = true; }
  void go_on() { process_.kill(SIGCONT), is_stopped_ = false; }
  [[nodiscard]] bool is_stopped() const noexcept { return is_stopped_; }

 private:
  std::string hear() {
    for (;;) {
      const auto line = process_.hear();
      if (!line.starts_with("ended ")) return line;
      const auto colon = line.find(": ");
      ends[line.substr(6, colon - 6)] = line.substr(colon + 2);
    }
  }

  tests::other_process process_;
  bool is_stopped_ = false;
};

struct share {
  std::shared_ptr<player> owner;
  std::string number;
  std::string ticket;
  std::string why;  // it was canceled
};

struct join {
  std::shared_ptr<player> where;
  std::string number;
  std::size_t of = 0;
};

class RemoteRandom : public hub_test {};

// Hunts for a joined context that goes on without its origin, or ends with another's cause, whatever is killed, stopped or
// restarted in whatever order. CURFEW_SOAK=<seconds> has it run for longer.
TEST_F(RemoteRandom, NothingGoesOnWithoutItsOrigin) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  const char* seconds = std::getenv("CURFEW_SOAK");
  const auto until = clock::now() + std::chrono::seconds(seconds != nullptr ? std::atoi(seconds) : 5);

  tests::redis_server server;
  std::vector<std::shared_ptr<player>> players;
  for (int i = 0; i != 4; ++i) players.push_back(std::make_shared<player>(server.url()));
  const auto pass = [](clock::duration d) {
    const auto later = clock::now() + d;
    static_cast<void>(eventually([later] { return clock::now() >= later; }));
  };
  int rounds = 0;
  int ended = 0;
  for (; clock::now() < until || rounds == 0; ++rounds) {
    std::deque<share> shares;
    std::deque<join> joins;
    for (int action = 0; action != 30; ++action) {
      auto& one = players[below(players.size())];
      switch (below(12)) {
        case 0:
          for (auto& each : shares) {
            if (each.owner == one) each.owner.reset();
          }
          std::erase_if(joins, [&](const join& each) { return each.where == one; });
          one = std::make_shared<player>(server.url());  // the one before is killed
          break;
        case 1:
          one->stop();
          break;
        case 2:
          one->go_on();
          break;
        case 3:
          server.pause();
          pass(std::chrono::milliseconds(below(700)));
          server.resume();
          break;
        case 4:
          server.kill9();
          pass(std::chrono::milliseconds(below(300)));
          server.start();
          break;
        case 5:
        case 6:
          if (!shares.empty()) {
            const auto number = below(shares.size());
            auto& what = shares[number];
            if (what.owner == nullptr || !what.why.empty()) break;
            what.why = "end of " + std::to_string(rounds) + '/' + std::to_string(number);
            what.owner->tell("cancel " + what.number + ' ' + what.why);
          }
          break;
        case 7:
        case 8:
        case 9: {
          if (one->is_stopped()) break;
          const auto said = one->ask("share");
          if (!said.starts_with("shared ")) break;
          const auto space = said.rfind(' ');
          shares.push_back({one, said.substr(7, space - 7), said.substr(space + 1), {}});
          break;
        }
        default: {
          if (one->is_stopped() || shares.empty()) break;
          const auto of = below(shares.size());
          const auto said = one->ask("join " + shares[of].ticket);
          if (said.starts_with("joined ")) joins.push_back({one, said.substr(7), of});
        }
      }
    }
    // All is well again: what has no origin ends, soon.
    for (const auto& each : players) each->go_on();
    for (const auto& each : players) ASSERT_TRUE(each->ask("counts").starts_with("counts "));
    const auto limit = clock::now() + lease + 10s;
    for (const auto& each : joins) {
      const auto& origin = shares[each.of];
      const auto& ends = each.where->ends;
      const std::string name = "joined " + each.number;
      const bool is_over = origin.owner == nullptr || !origin.why.empty() ||
                           origin.owner->ends.contains("shared " + origin.number);
      while (is_over && !ends.contains(name) && clock::now() < limit) {
        ASSERT_TRUE(each.where->ask("counts").starts_with("counts "));
        pass(5ms);
      }
      if (is_over) {
        ASSERT_TRUE(ends.contains(name)) << "round " << rounds << ": goes on without its origin";
        ++ended;
      }
      if (!ends.contains(name)) continue;
      const auto& why = ends.at(name);
      const bool is_its_own = !origin.why.empty() && why == "canceled (" + origin.why + ')';
      const bool is_a_fault = why.find("(the origin ") != std::string::npos ||
                              why.find("(Redis does not answer)") != std::string::npos ||
                              why.find("(the lease is lost)") != std::string::npos;
      EXPECT_TRUE(is_its_own || is_a_fault) << why << " instead of " << origin.why;
    }
  }
  players.clear();
  EXPECT_TRUE(eventually([&] { return server.ask_for({"DBSIZE"}) == "0"; })) << server.ask_for({"KEYS", "*"});
  RecordProperty("rounds", rounds);
  RecordProperty("ended", ended);
}

}  // namespace
}  // namespace curfew::remote
