// Random commands of many threads and coroutines, cut off at random, on a server whose connections are cut: what each call
// has said is held against what is in the server at the end.

#include <curfew/redis.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/testing/fault_proxy.hpp>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "race.hpp"
#include "redis/redis_fixture.hpp"

namespace curfew::redis {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

/// CURFEW_SOAK=<seconds> has such a test begin anew for so long.
std::chrono::seconds soak() {
  const char* const given = std::getenv("CURFEW_SOAK");
  return std::chrono::seconds(given != nullptr ? std::stoi(given) : 0);
}

/// What is known of the keys of one worker, which nobody else writes.
struct model {
  std::string prefix;
  // A counter: what has been added for sure, and what perhaps.
  std::int64_t added = 0;
  std::int64_t perhaps_added = 0;
  std::int64_t last = 0;
  // A list: elements that are there once, those that are there once or not, and pairs that are there both or not.
  std::vector<std::string> pushed;
  std::vector<std::string> perhaps_pushed;
  std::vector<std::string> not_pushed;
  std::vector<std::pair<std::string, std::string>> pairs;
  // A value: what it may be.
  std::set<std::string> may_be{""};
  int next = 0;
  int cut = 0;
  int unknown = 0;

  std::string counter() const { return prefix + "n"; }
  std::string list() const { return prefix + "l"; }
  std::string value() const { return prefix + "v"; }
  std::string fresh() { return prefix + std::to_string(next++); }

  template <class T>
  void note(const result<T>& got) {
    if (got) return;
    ++cut;
    const auto& e = got.error();
    if (e.outcome() == outcome::unknown) ++unknown;
    EXPECT_TRUE(e == curfew::errc::deadline_exceeded || e == errc::connection_lost ||
                e == errc::connection_failed || e == errc::loading || e == errc::aborted)
        << e;
  }
  template <class T>
  static bool may_have_happened(const result<T>& got) {
    return got || got.error().outcome() == outcome::unknown;
  }

  void incremented(const result<std::int64_t>& got) {
    note(got);
    if (got) {
      ++added;
      EXPECT_GT(*got, last);
      EXPECT_GE(*got, added);
      EXPECT_LE(*got, added + perhaps_added);
      last = *got;
    } else if (may_have_happened(got)) {
      ++perhaps_added;
    }
  }
  template <class T>
  void push_ended(const result<T>& got, const std::string& element) {
    note(got);
    (got ? pushed : may_have_happened(got) ? perhaps_pushed : not_pushed).push_back(element);
  }
  template <class T>
  void pair_ended(const result<T>& got, const std::string& a, const std::string& b) {
    push_ended(got, a);
    push_ended(got, b);
    pairs.emplace_back(a, b);
  }
  void was_set(const result<bool>& got, const std::string& to) {
    note(got);
    // What is unknown may be carried out behind what comes later, on a connection that was given up.
    if (may_have_happened(got)) may_be.insert(to);
  }
  void was_got(const result<std::optional<std::string>>& got) {
    note(got);
    EXPECT_TRUE(!got || may_be.contains(got->value_or(""))) << value() << " is " << got->value_or("nil");
  }
  /// Once nothing is under way.
  void hold_against(const tests::redis_server& server) const {
    const auto count = server.ask_for({"GET", counter()});
    const std::int64_t n = count == "(nil)" ? 0 : std::stoll(count);
    EXPECT_GE(n, added);
    EXPECT_LE(n, added + perhaps_added);
    std::map<std::string, int> there;
    std::vector<std::string> in_order;
    std::istringstream all(server.ask_for({"LRANGE", list(), "0", "-1"}));
    for (std::string each; std::getline(all, each);) ++there[each], in_order.push_back(each);
    for (const auto& each : pushed) EXPECT_EQ(there[each], 1) << each << " was pushed";
    for (const auto& each : perhaps_pushed) EXPECT_LE(there[each], 1) << each << " was pushed, or not";
    for (const auto& each : not_pushed) EXPECT_EQ(there[each], 0) << each << " was not pushed";
    for (const auto& [a, b] : pairs) {
      EXPECT_EQ(there[a], there[b]) << "a half of a transaction";
      const auto at = std::ranges::find(in_order, a);
      if (at == in_order.end()) continue;
      EXPECT_TRUE(at + 1 != in_order.end() && *(at + 1) == b) << "something came between";
    }
    const auto is = server.ask_for({"GET", value()});
    EXPECT_TRUE(may_be.contains(is == "(nil)" ? "" : is)) << value() << " is " << is;
  }
};

const script push("return redis.call('RPUSH', KEYS[1], ARGV[1])");

/// One random command, in a coroutine.
asio::awaitable<void> work_once(context ctx, client& to, model& m, std::mt19937_64& random) {
  switch (random() % 6) {
    case 0: {
      auto got = co_await to.async_run(ctx, incr(m.counter()));
      m.incremented(got);
      break;
    }
    case 1: {
      const auto element = m.fresh();
      auto got = co_await to.async_run(ctx, rpush(m.list(), element));
      m.push_ended(got, element);
      break;
    }
    case 2: {
      const auto a = m.fresh();
      const auto b = m.fresh();
      auto got = co_await to.async_run_atomically(ctx, rpush(m.list(), a), rpush(m.list(), b));
      m.pair_ended(got, a, b);
      break;
    }
    case 3: {
      const auto element = m.fresh();
      auto got = co_await to.async_run(ctx, push.call<std::int64_t>(m.list(), element));
      m.push_ended(got, element);
      break;
    }
    case 4: {
      const auto written = m.fresh();
      auto got = co_await to.async_run(ctx, set(m.value(), written));
      m.was_set(got, written);
      break;
    }
    default: {
      auto got = co_await to.async_run(ctx, get(m.value()));
      m.was_got(got);
      break;
    }
  }
}

/// The same in a thread.
void work_once_blocking(const context& ctx, client& to, model& m, std::mt19937_64& random) {
  switch (random() % 6) {
    case 0:
      m.incremented(to.run(ctx, incr(m.counter())));
      break;
    case 1: {
      const auto element = m.fresh();
      m.push_ended(to.run(ctx, rpush(m.list(), element)), element);
      break;
    }
    case 2: {
      const auto a = m.fresh();
      const auto b = m.fresh();
      m.pair_ended(to.run_atomically(ctx, rpush(m.list(), a), rpush(m.list(), b)), a, b);
      break;
    }
    case 3: {
      const auto a = m.fresh();
      const auto b = m.fresh();
      const auto got = to.run_all(ctx, rpush(m.list(), a), rpush(m.list(), b));
      if (got) {
        m.push_ended(std::get<0>(*got), a);
        m.push_ended(std::get<1>(*got), b);
      } else {
        m.push_ended(got, a);
        m.push_ended(got, b);
      }
      break;
    }
    case 4: {
      const auto written = m.fresh();
      m.was_set(to.run(ctx, set(m.value(), written)), written);
      break;
    }
    default:
      m.was_got(to.run(ctx, get(m.value())));
      break;
  }
}

class RedisRandom : public redis_test {
 protected:
  static void run(const std::string& what, const std::string& url,
                  const std::function<void(std::mt19937_64&)>& trouble, const std::function<void()>& calm) {
    const auto until = std::chrono::steady_clock::now() + soak();
    do {
      run_once(what, url, trouble, calm);
      server().ask({"FLUSHALL"});
      server().ask({"BGREWRITEAOF"});  // or the log is soon a gigabyte, which a server that starts reads
      ASSERT_TRUE(tests::eventually([] { return server().info("aof_rewrite_in_progress") == "0"; }));
    } while (!HasFailure() && std::chrono::steady_clock::now() < until);
  }

 private:
  /// Workers are at it while `trouble` is made, again and again; then all is held against what they were told.
  static void run_once(const std::string& what, const std::string& url,
                       const std::function<void(std::mt19937_64&)>& trouble,
                       const std::function<void()>& calm) {
    const auto seed = testing::announce_seed(what);
    std::vector<model> models(12);
    for (std::size_t i = 0; i != models.size(); ++i) models[i].prefix = 'w' + std::to_string(i) + ':';
    std::atomic<bool> over{false};
    {
      client shared(url, client_options().back_off(1ms, 10ms).connections(2));
      std::vector<std::jthread> threads;
      for (std::size_t t = 0; t != 4; ++t) {
        threads.emplace_back([&, t] {
          std::mt19937_64 random(seed + t);
          while (!over) {
            const auto scope = with_timeout(background(), std::chrono::microseconds(random() % 3000));
            work_once_blocking(scope, shared, models[t], random);
          }
        });
      }
      for (std::size_t l = 0; l != 2; ++l) {
        threads.emplace_back([&, l] {
          asio::io_context loop(1);
          const auto work = [&](std::size_t number) -> asio::awaitable<void> {
            std::mt19937_64 random(seed + number);
            while (!over) {
              const auto scope = with_timeout(background(), std::chrono::microseconds(random() % 3000));
              co_await work_once(scope.ctx(), shared, models[number], random);
            }
          };
          for (std::size_t i = 0; i != 4; ++i)
            asio::co_spawn(loop, work(4 + 4 * l + i),
                           [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
          loop.run();
        });
      }
      std::mt19937_64 random(seed + 1000);
      try {
        for (const testing::time_box box(1500ms); box.open();) trouble(random);
      } catch (const std::exception& e) {
        ADD_FAILURE() << e.what();
      }
      over = true;
      threads.clear();
    }
    calm();
    // What was given up is carried out, or gone.
    ASSERT_TRUE(tests::eventually([] { return connections() == 0; }));
    int calls = 0;
    int cut = 0;
    int unknown = 0;
    for (const auto& each : models) {
      each.hold_against(server());
      calls += each.next;
      cut += each.cut;
      unknown += each.unknown;
    }
    std::cout << calls << " writes; " << cut << " calls failed, " << unknown
              << " of them with an unknown outcome\n";
  }
};

TEST_F(RedisRandom, DoesWhatItSaysOnAServerThatIsWell) {
  run(
      "calls that are cut off", server().url(), [](std::mt19937_64&) { std::this_thread::sleep_for(10ms); },
      [] {});
}

TEST_F(RedisRandom, DoesWhatItSaysWhileConnectionsAreCut) {
  testing::fault_proxy proxy(server().port());
  run(
      "calls whose connections are cut", server().url_at(proxy.port()),
      [&](std::mt19937_64& random) {
        testing::faults faults;
        switch (random() % 5) {
          case 0:
            faults.reset_after(random() % 3000);
            break;
          case 1:
            faults.close_after(random() % 3000);
            break;
          case 2:
            faults.delay(std::chrono::microseconds(random() % 3000));
            break;
          case 3:
            faults.split(1 + random() % 5);
            break;
          default:
            break;
        }
        proxy.set(random() % 2 == 0 ? testing::fault_options().to_client(faults)
                                    : testing::fault_options().to_server(faults));
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
      },
      [&] { proxy.set(testing::fault_options()); });
}

TEST_F(RedisRandom, DoesWhatItSaysWhileTheServerIsFrozenAndKillsItsClients) {
  run(
      "calls whose server is frozen", server().url(),
      [&](std::mt19937_64& random) {
        if (random() % 2 == 0) {
          server().pause();
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 10'000));
          server().resume();
        } else {
          server().ask({"CLIENT", "KILL", "TYPE", "normal"});
        }
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
      },
      [] {});
}

TEST_F(RedisRandom, DoesWhatItSaysWhileTheServerIsKilled) {
  run(
      "calls whose server is killed", server().url(),
      [&](std::mt19937_64& random) {
        server().kill9();
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 10'000));
        server().start();
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 50'000));
      },
      [] {});
}

}  // namespace
}  // namespace curfew::redis
