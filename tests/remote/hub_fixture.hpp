#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote.hpp>
#include <string>
#include <string_view>

#include "redis.hpp"

namespace curfew::remote {

/// A Redis of the test's own, and two hubs, "here" and "there", as in two processes.
class hub_test : public ::testing::Test {
 protected:
  void SetUp() override { CURFEW_NEEDS_PROGRAMS("redis-server"); }

  /// Longer than what a busy machine holds a process up for.
  static constexpr std::chrono::milliseconds long_lease{6000};
  static constexpr std::chrono::milliseconds short_lease{1000};

  static bool ends(const context& ctx) {
    return static_cast<bool>(ctx.done().wait_for(std::chrono::seconds(30)));
  }
  template <class F>
  static bool eventually(F holds) {
    return tests::detail::wait_for(holds);
  }

  struct side {
    side(const std::string& url, const hub_options& options) : client(url), hub(client, options) {}
    redis::client client;
    remote::hub hub;
  };
};

}  // namespace curfew::remote
