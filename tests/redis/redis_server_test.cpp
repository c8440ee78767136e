#include "redis.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>

#include "at_rest.hpp"
#include "program.hpp"
#include "server.hpp"

namespace curfew::tests {
namespace {

class RedisServer : public ::testing::Test {
 protected:
  void SetUp() override { CURFEW_NEEDS_PROGRAMS("redis-server"); }
};

TEST_F(RedisServer, KeepsWhatItAnsweredWhenItIsKilled) {
  redis_server server;
  server.ask({"SET", "foo", "bar"});
  server.kill9();
  EXPECT_EQ(server.pid(), -1);
  EXPECT_THROW(server.ask({"PING"}), std::runtime_error);
  const auto url = server.url();
  server.start();
  EXPECT_EQ(server.url(), url);
  EXPECT_EQ(server.ask_for({"GET", "foo"}), "bar");
  const pid_t before = server.pid();
  server.restart();
  EXPECT_NE(server.pid(), before);
  EXPECT_EQ(server.ask_for({"MGET", "foo", "none"}), "bar\n(nil)");
}

TEST_F(RedisServer, AnswersNothingWhileItIsPaused) {
  redis_server server;
  program asks({"/bin/sh", "-c", "exec redis-cli -p " + std::to_string(server.port())});
  asks.write("PING\n");
  EXPECT_EQ(asks.read_line(), "PONG");
  server.pause();
  EXPECT_EQ(detail::state_of(server.pid()).letter, 'T');
  asks.write("INCR n\n");
  server.resume();
  EXPECT_EQ(asks.read_line(), "1");
  server.pause();
  server.restart();
  EXPECT_EQ(server.ask_for({"GET", "n"}), "1");
}

TEST_F(RedisServer, TakesOptionsAndAPassword) {
  const redis_server server(redis_options().password("secret").set("maxmemory 3mb").set("appendonly no"));
  EXPECT_EQ(server.info("maxmemory"), "3145728");
  EXPECT_EQ(server.info("aof_enabled"), "0");
  EXPECT_EQ(server.url(1), "redis://:secret@" + server.address() + "/1");
  EXPECT_EQ(server.ask_for({"PING"}), "PONG");
  EXPECT_NE(run({find_program("redis-cli"), "-p", std::to_string(server.port()), "PING"}).text.find("NOAUTH"),
            std::string::npos);
}

TEST_F(RedisServer, DiesWithTheTestEvenWhenItIsPaused) {
  std::array<int, 2> to_test{};
  ASSERT_EQ(::pipe(to_test.data()), 0);
  let_other_threads_fall_asleep();
  const pid_t test = ::fork();
  if (test == 0) {
    const redis_server server;
    const auto said = std::to_string(server.pid()) + ' ' + server.ask_for({"CONFIG", "GET", "dir"});
    server.pause();
    if (::write(to_test[1], said.data(), said.size()) < 0) ::_exit(1);
    ::kill(::getpid(), SIGKILL);
  }
  ::close(to_test[1]);
  std::array<char, 256> said{};
  ASSERT_GT(::read(to_test[0], said.data(), said.size() - 1), 0);
  ::close(to_test[0]);
  ::waitpid(test, nullptr, 0);
  pid_t server = 0;
  std::string dir;
  std::istringstream(said.data()) >> server >> dir >> dir;
  EXPECT_TRUE(detail::wait_for([&] { return detail::is_dead(server); }));
  std::filesystem::remove_all(dir);
}

TEST_F(RedisServer, IsReplacedByItsReplicaWhenASentinelMissesIt) {
  redis_server primary;
  const redis_server replica(redis_options().set("replicaof 127.0.0.1 " + std::to_string(primary.port())));
  const redis_sentinel sentinel(primary);
  ASSERT_TRUE(sentinel.wait_for_primary(primary.port()));
  ASSERT_TRUE(sentinel.wait_for_replicas(1)) << sentinel.log();
  primary.kill9();
  EXPECT_TRUE(sentinel.wait_for_primary(replica.port())) << sentinel.log();
  EXPECT_TRUE(detail::wait_for([&] { return replica.info("role") == "master"; }));
}

}  // namespace
}  // namespace curfew::tests
