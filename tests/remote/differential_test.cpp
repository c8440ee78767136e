#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <curfew/core.hpp>
#include <curfew/remote/hub.hpp>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "remote/hub_fixture.hpp"

namespace curfew::remote {
namespace {

/// A tree of contexts, each of which is canceled by its number.
class tree {
 public:
  void add(const context& parent) { scopes_.push_back(with_cancel(parent)); }
  /// By way of Redis, from one hub to the other.
  void add(const context& parent, hub& from, hub& to) {
    auto made = from.share(parent);
    ASSERT_TRUE(made) << made.error();
    // NOLINTNEXTLINE(curfew-background-in-request): the other process has nothing of it but the ticket
    auto joined = to.join(background(), made->ticket());
    ASSERT_TRUE(joined) << joined.error();
    shared_.push_back(std::move(*made));
    scopes_.push_back(std::move(*joined));
  }

  [[nodiscard]] std::size_t size() const noexcept { return scopes_.size(); }
  [[nodiscard]] const context& at(std::size_t number) const { return scopes_[number].ctx(); }
  void cancel(std::size_t number) { scopes_[number].cancel("end of " + std::to_string(number)); }
  /// "12:canceled(end of 3) …" of those that have ended.
  [[nodiscard]] std::string ended() const {
    std::string all;
    for (std::size_t i = 0; i != size(); ++i) {
      if (const auto err = at(i).err())
        all += std::to_string(i) + ':' + err.message() + '(' + at(i).cause().message() + ") ";
    }
    return all;
  }

 private:
  std::deque<cancel_scope> scopes_;
  std::deque<shared> shared_;
};

class RemoteDifferential : public hub_test {};

// A tree in which some of the edges cross between two hubs ends as the same tree in one process does.
TEST_F(RemoteDifferential, ATreeThatCrossesEndsAsOneThatDoesNot) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  tests::redis_server server;
  auto options = hub_options().lease(long_lease);
  side a(server.url(), options);
  side b(server.url(), options);
  for (int round = 0; round != 12; ++round) {
    tree here;
    tree crossing;
    here.add(background());
    crossing.add(background());
    constexpr std::size_t nodes = 40;
    while (here.size() != nodes) {
      const auto parent = below(here.size());
      here.add(here.at(parent));
      switch (below(3)) {
        case 0:
          crossing.add(crossing.at(parent), a.hub, b.hub);
          break;
        case 1:
          crossing.add(crossing.at(parent), b.hub, a.hub);
          break;
        default:
          crossing.add(crossing.at(parent));
      }
      ASSERT_EQ(crossing.size(), here.size());
    }
    for (int cancels = 0; cancels != 6; ++cancels) {
      const auto number = below(nodes);
      here.cancel(number);
      crossing.cancel(number);
      EXPECT_TRUE(eventually([&] { return crossing.ended() == here.ended(); }))
          << "round " << round << ": " << crossing.ended() << "\ninstead of " << here.ended();
    }
  }
}

}  // namespace
}  // namespace curfew::remote
