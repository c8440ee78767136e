// A server that says what none should.

#include <curfew/redis.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "http/waiting.hpp"
#include "program.hpp"
#include "redis/scripted_server.hpp"

namespace curfew::redis {
namespace {

using namespace std::chrono_literals;
using tests::scripted_server;

class RedisHostile : public ::testing::Test {
 protected:
  /// Says that to the first command of the first connection, and is a good server to others: each is answered by its last
  /// word.
  class server {
   public:
    explicit server(std::string bytes, bool closes = false)
        : script_([this, bytes = std::move(bytes), closes](scripted_server::link& on) {
            const bool is_first = count_++ == 0;
            while (const auto command = on.read()) {
              if (is_first) {
                on.say(bytes);
                has_spoken_ = true;
                if (closes) return;
                on.wait_for_close();
                return;
              }
              const auto& word = command->back();
              on.say('$' + std::to_string(word.size()) + "\r\n" + word + "\r\n");
            }
          }) {}

    [[nodiscard]] std::string url() const { return script_.url(); }
    [[nodiscard]] bool has_spoken() const { return has_spoken_; }

   private:
    std::atomic<int> count_{0};
    std::atomic<bool> has_spoken_{false};
    scripted_server script_;
  };

  /// The server's first words are refused with that code; the next call gets an answer, on another connection.
  void expect_refused(const std::string& bytes, errc code, bool closes = false) {
    SCOPED_TRACE(bytes.substr(0, 40));
    const server says(bytes, closes);
    client cache(says.url(), client_options().max_answer(1'000'000));
    const auto got = cache.run(patience, get("foo"));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), code) << got.error();
    EXPECT_EQ(got.error().outcome(), outcome::unknown);
    EXPECT_EQ(cache.run(patience, get("bar")), "bar");
  }

  /// The server says that behind each answer, on its first connection.
  void expect_left(const std::string& extra) {
    SCOPED_TRACE(extra);
    std::atomic<int> count{0};
    const scripted_server script([&](scripted_server::link& on) {
      const bool is_first = count++ == 0;
      while (const auto command = on.read()) {
        const auto answer = "$3\r\n" + command->back() + "\r\n";
        on.say(is_first ? answer + extra : answer);
      }
    });
    client cache(script.url());
    const auto first = cache.run(patience, get("foo"));
    EXPECT_EQ(first.value_or("foo"), "foo");  // or it is refused with what is too much
    for (int i = 0; i != 5; ++i) {
      const auto next = cache.run(patience, get("bar"));
      EXPECT_EQ(next.value_or("bar"), "bar");
      EXPECT_TRUE(next || next.error() == errc::protocol || next.error() == errc::connection_lost)
          << next.error();
    }
    EXPECT_EQ(cache.run(patience, get("baz")), "baz");
    EXPECT_GT(script.connections(), 1U);
  }

  const cancel_scope patience = with_timeout(background(), tests::program_patience);
};

/// What the process has in memory, in bytes.
std::size_t resident() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t used = 0;
  file >> all >> used;
  return used * 4096;
}

std::string nested(int depth) {
  std::string bytes;
  for (int i = 0; i != depth; ++i) bytes += "*1\r\n";
  return bytes + ":1\r\n";
}

TEST_F(RedisHostile, IsRefusedWhatIsNoAnswer) {
  for (const std::string bytes :
       {"HTTP/1.1 400 Bad Request\r\n\r\n", "garbage\r\n", "\r\n", "$-2\r\n", "$x\r\n", "$\r\n", "*-2\r\n",
        "*x\r\n", "*\r\n", ":\r\n", ":x\r\n", ":1x\r\n", ":99999999999999999999\r\n",
        "$99999999999999999999\r\n", "*99999999999999999999\r\n", "*18446744073709551615\r\n",
        "*-9223372036854775808\r\n"})
    expect_refused(bytes, errc::protocol);
  expect_refused(std::string(16, '\0'), errc::protocol);
  expect_refused(nested(1000), errc::protocol);
  expect_refused(nested(100'000), errc::protocol);
}

TEST_F(RedisHostile, IsRefusedWhatIsTooLarge) {
  const std::string large(2'000'000, 'x');
  expect_refused("$2000000\r\n" + large, errc::too_large);
  expect_refused("$2147483647\r\n" + large, errc::too_large);
  expect_refused('+' + large, errc::too_large);
  expect_refused('-' + large, errc::too_large);
  expect_refused(':' + large, errc::too_large);
  expect_refused('$' + std::string(2'000'000, '0'), errc::too_large);
  expect_refused("*2\r\n$900000\r\n" + large.substr(0, 900'000) + "\r\n$900000\r\n" + large, errc::too_large);
}

TEST_F(RedisHostile, IsRefusedAnArrayWhoseElementsCostMoreThanTheirBytes) {
  // 4 MB of the wire would be 200 MB of values.
  std::string many = "*1000000\r\n";
  for (int i = 0; i != 1'000'000; ++i) many += ":1\r\n";
  const server says(many);
  client cache(says.url(), client_options().max_answer(8'000'000));
  const auto before = resident();
  const auto got = cache.run(patience, raw({"LRANGE", "all", "0", "-1"}));
  EXPECT_LT(resident(), before + 64'000'000);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::too_large) << got.error();
}

TEST_F(RedisHostile, MayCloseAtEachMoment) {
  const std::string answer = "*2\r\n$3\r\nfoo\r\n:1\r\n";
  for (std::size_t i = 0; i != answer.size(); ++i)
    expect_refused(answer.substr(0, i), errc::connection_lost, true);
}

TEST_F(RedisHostile, MayBeSilentForEverAndCostsNothing) {
  for (const std::string bytes : {"", "$", "$3\r", "$3\r\nfo", "*2\r\n:1\r\n", "*1\r\n*1\r\n",
                                  "$536870912\r\nfoo", "$2147483647\r\nfoo", "*1073741824\r\n:1\r\n",
                                  "*2147483647\r\n", "*2\r\n*1000000000\r\n*1000000000\r\n:1\r\n"}) {
    SCOPED_TRACE(bytes);
    const server says(bytes);
    client cache(says.url());
    const auto before = resident();
    auto scope = with_cancel(patience);
    std::jthread ends([&] {
      EXPECT_TRUE(tests::eventually([&] { return says.has_spoken(); }));
      std::this_thread::sleep_for(20ms);
      scope.cancel();
    });
    const auto got = cache.run(scope, get("foo"));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), curfew::errc::canceled);
    EXPECT_EQ(got.error().outcome(), outcome::unknown);
    EXPECT_LT(resident(), before + 64'000'000);
  }
}

TEST_F(RedisHostile, IsLeftWhenItSaysMoreThanItsAnswer) {
  // What is too much would be taken for the next answer, or its beginning, and each from there on for the one before it.
  for (const std::string extra :
       {"$5\r\nextra\r\n", "$", "$5\r\nex", "*2\r\n", "*2\r\n:1\r\n", "-ERR no\r\n", "\r\n"})
    expect_left(extra);
}

TEST_F(RedisHostile, IsLeftWhenItSaysSomethingUnasked) {
  std::atomic<int> count{0};
  std::atomic<bool> said{false};
  const scripted_server script([&](scripted_server::link& on) {
    const bool is_first = count++ == 0;
    while (const auto command = on.read()) {
      on.say("$3\r\n" + command->back() + "\r\n");
      if (!is_first || said) continue;
      std::this_thread::sleep_for(5ms);
      on.say("$5\r\nextra\r\n");
      said = true;
    }
  });
  client cache(script.url());
  EXPECT_EQ(cache.run(patience, get("foo")), "foo");
  ASSERT_TRUE(tests::eventually([&] { return said.load(); }));
  std::this_thread::sleep_for(20ms);  // it has arrived, unless the machine is slow, which proves less
  const auto next = cache.run(patience, get("bar"));
  EXPECT_EQ(next.value_or("bar"), "bar");
  EXPECT_EQ(cache.run(patience, get("baz")), "baz");
}

TEST_F(RedisHostile, SaysTheBeginningOfAConnectionWrong) {
  for (const char* const bytes : {"-ERR max number of clients reached\r\n", "*1\r\n", "garbage\r\n", ""}) {
    std::atomic<int> count{0};
    const scripted_server script([&](scripted_server::link& on) {
      const bool is_first = count++ == 0;
      if (is_first) {
        std::ignore = on.read_any();
        on.say(bytes);
        return;
      }
      while (const auto command = on.read()) on.say("$3\r\n" + command->back() + "\r\n");
    });
    client cache(script.url() + "/3", client_options().back_off(1ms, 5ms));
    const auto got = cache.run(patience, get("foo"));
    if (!got) {
      EXPECT_EQ(got.error().outcome(), outcome::did_not_happen) << got.error();
    } else {
      EXPECT_EQ(*got, "foo");  // it has connected again by itself
    }
    const auto next = cache.run(patience, get("bar"));
    EXPECT_TRUE(next && *next == "bar") << bytes << ": " << next.error();
  }
}

TEST_F(RedisHostile, IsAnotherTypeThanWasAskedFor) {
  const scripted_server script([&](scripted_server::link& on) {
    while (const auto command = on.read()) on.say(command->back());
  });
  client cache(script.url());
  const auto refused = [&](const auto& what) {
    const auto got = cache.run(patience, what);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), errc::conversion) << got.error();
    EXPECT_EQ(got.error().outcome(), outcome::unknown);  // it was carried out, perhaps
  };
  refused(raw<std::int64_t>({"X", "$1\r\nx\r\n"}));
  refused(raw<std::int64_t>({"X", "*0\r\n"}));
  refused(raw<std::int64_t>({"X", "$-1\r\n"}));
  refused(raw<std::string>({"X", "*0\r\n"}));
  refused(raw<std::string>({"X", "*-1\r\n"}));
  refused(raw<double>({"X", "$3\r\n1.x\r\n"}));
  refused(raw<std::vector<std::string>>({"X", "*2\r\n$1\r\na\r\n$-1\r\n"}));
  refused(raw<std::vector<std::string>>({"X", ":1\r\n"}));
  refused(raw<hash_fields>({"X", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"}));
  refused(raw<std::vector<stream_entry>>({"X", "*1\r\n*1\r\n$1\r\na\r\n"}));
  refused(raw<std::vector<stream_entries>>({"X", "*1\r\n*2\r\n$1\r\ns\r\n:1\r\n"}));
  refused(raw<claimed_entries>({"X", "*2\r\n$1\r\ns\r\n:1\r\n"}));
  refused(raw<std::pair<std::string, std::string>>({"X", "*1\r\n$1\r\ns\r\n"}));
  EXPECT_EQ(cache.run(patience, raw<std::string>({"X", ":12\r\n"})).value_or("12"), "12");
  EXPECT_EQ(script.connections(), 1U);
}

TEST_F(RedisHostile, AnswersATransactionWrong) {
  for (const std::string exec :
       {"+OK\r\n", ":1\r\n", "*0\r\n", "*1\r\n:1\r\n", "*3\r\n:1\r\n:2\r\n:3\r\n", "$2\r\nab\r\n"}) {
    const scripted_server script([&](scripted_server::link& on) {
      while (const auto command = on.read()) {
        const auto& word = command->front();
        on.say(word == "MULTI" ? "+OK\r\n" : word == "EXEC" ? exec : "+QUEUED\r\n");
      }
    });
    client cache(script.url());
    const auto got = cache.run_atomically(patience, incr("a"), incr("b"));
    ASSERT_FALSE(got) << exec;
    EXPECT_EQ(got.error(), errc::protocol) << got.error();
    EXPECT_EQ(got.error().outcome(), outcome::unknown);
  }
}

}  // namespace
}  // namespace curfew::redis
