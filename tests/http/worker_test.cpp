#include "http/server/worker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <curfew/core.hpp>
#include <curfew/http/server.hpp>
#include <string>

#include "http/server/connection.hpp"
#include "http/server/server_state.hpp"
#include "http/waiting.hpp"

namespace curfew::http {
namespace {

using tests::event;
using tests::eventually;

/// A worker that runs.
struct running_worker {
  server_state state{router(), server_options()};
  worker on{state};

  running_worker() { on.start(); }
  ~running_worker() {
    on.stop();
    on.join();
  }
};

TEST(Worker, GivesASignWhenItsLoopIsFree) {
  running_worker w;
  event busy;
  event go;
  boost::asio::post(w.on.io(), [&] {
    busy.set();
    go.wait();
  });
  ASSERT_TRUE(busy.wait());
  const auto asked = clock::now();
  w.on.ask();
  EXPECT_LT(w.on.answered(), asked);
  go.set();
  EXPECT_TRUE(eventually([&] { return w.on.answered() >= asked; }));
  EXPECT_FALSE(w.on.has_requests());
  EXPECT_EQ(w.on.holder(), "");
}

TEST(Worker, WritesTheDateOfNow) {
  server_state state{router(), server_options()};
  worker w(state);
  EXPECT_THAT(std::string(w.date()),
              ::testing::MatchesRegex(
                  "Date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9][0-9] [A-Z][a-z][a-z] [0-9]+ [0-9:]+ GMT\r\n"));
}

}  // namespace
}  // namespace curfew::http
