#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/redis.hpp>
#include <map>
#include <sstream>
#include <string>

#include "http/waiting.hpp"
#include "program.hpp"
#include "redis.hpp"
#include "run_coroutine.hpp"

namespace curfew::redis {

/// A test with a server that its program shares, which is empty at first.
class redis_test : public ::testing::Test {
 protected:
  void SetUp() override {
    CURFEW_NEEDS_PROGRAMS("redis-server");
    server().ask({"FLUSHALL"});
  }

  static tests::redis_server& server() {
    static tests::redis_server one;
    return one;
  }
  /// Connections to the server but for the one that asks.
  static std::size_t connections() { return std::stoul(server().info("connected_clients")) - 1; }

  /// Against hangs alone: what is right takes a fraction of it.
  const cancel_scope patience = with_timeout(background(), tests::program_patience);
};

}  // namespace curfew::redis
