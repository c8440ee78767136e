#include "base/live_feed.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <curfew/http/client.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/testing.hpp>
#include <string>
#include <vector>

#include "base/event_parser.hpp"

namespace curfew_dashboard {
namespace {

namespace http = curfew::http;

/// A feed whose view is how often it was looked at.
class fed {
 public:
  fed()
      : feed_(hub, "looks", [this] { return live_view{std::to_string(++looks), false}; }),
        server_(routes()) {}

  http::download open() {
    return client_.open(curfew::background(), {"GET", server_.url("/events")}).value();
  }

  change_hub hub;
  std::atomic<int> looks = 0;

 private:
  http::router routes() {
    http::router made;
    made.get("/events", [this](curfew::context /*ctx*/, const http::request& /*r*/) { return answer(); });
    return made;
  }
  boost::asio::awaitable<http::response> answer() {
    http::body_source source = [this](curfew::context ctx, http::body_writer out) {
      return feed_.async_stream(std::move(ctx), out);
    };
    co_return http::events(std::move(source));
  }

  live_feed feed_;
  http::client client_;
  curfew::testing::http_server server_;
};

struct viewer {
  http::download from;
  event_parser events;

  std::string next() {
    for (;;) {
      if (auto found = events.next()) return found->name + ' ' + found->data;
      events.feed(*from.read(curfew::background()).value());
    }
  }
};

TEST(LiveFeed, LooksOncePerChangeHoweverManyViewersThereAre) {
  fed feed;
  std::vector<viewer> viewers;
  for (int i = 0; i < 20; ++i) viewers.push_back({feed.open(), {}});
  for (viewer& v : viewers) EXPECT_EQ(v.next(), "looks 1");
  for (int change = 2; change < 5; ++change) {
    feed.hub.notify();
    for (viewer& v : viewers) EXPECT_EQ(v.next(), "looks " + std::to_string(change));
  }
  EXPECT_EQ(feed.looks, 4);
}

TEST(LiveFeed, ChangesInQuickSuccessionAreOneEvent) {
  fed feed;
  viewer only{feed.open(), {}};
  EXPECT_EQ(only.next(), "looks 1");
  for (int i = 0; i < 1000; ++i) feed.hub.notify();
  EXPECT_EQ(only.next(), "looks 2");
  EXPECT_LT(feed.looks, 500);
}

}  // namespace
}  // namespace curfew_dashboard
