#include "http/server/address_count.hpp"

#include <gtest/gtest.h>

#include <boost/asio/ip/address.hpp>
#include <optional>
#include <utility>
#include <vector>

namespace curfew::http {
namespace {

boost::asio::ip::address address(const char* text) { return boost::asio::ip::make_address(text); }

TEST(AddressCount, LetsInAsManyAsTheLimitAndOneMoreForEachThatLeaves) {
  address_count count(2);
  std::vector<address_count::place> in;
  for (int i = 0; i < 2; ++i) in.push_back(*count.enter(address("192.0.2.1")));
  EXPECT_FALSE(count.enter(address("192.0.2.1")));
  EXPECT_TRUE(count.enter(address("192.0.2.2"))) << "another address";
  in.pop_back();
  auto again = count.enter(address("192.0.2.1"));
  EXPECT_TRUE(again);
  EXPECT_FALSE(count.enter(address("192.0.2.1")));
  again.reset();
  EXPECT_TRUE(count.enter(address("192.0.2.1")));
}

TEST(AddressCount, TakesASixtyFourOfIpv6ForOneAddress) {
  address_count count(1);
  const auto first = count.enter(address("2001:db8:0:1::1"));
  ASSERT_TRUE(first);
  EXPECT_FALSE(count.enter(address("2001:db8:0:1:ffff::2")));
  EXPECT_TRUE(count.enter(address("2001:db8:0:2::1")));
  const auto loopback = count.enter(address("::1"));
  ASSERT_TRUE(loopback);
  EXPECT_TRUE(count.enter(address("0.0.0.0"))) << "the other family";
}

TEST(AddressCount, GivesAPlaceBackOnceHoweverOftenItMoves) {
  address_count count(1);
  std::optional<address_count::place> place = count.enter(address("192.0.2.1"));
  address_count::place moved = std::move(*place);
  place.reset();
  EXPECT_FALSE(count.enter(address("192.0.2.1")));
  auto other = count.enter(address("192.0.2.2"));
  moved = std::move(*other);
  other.reset();
  EXPECT_TRUE(count.enter(address("192.0.2.1")));
  EXPECT_FALSE(count.enter(address("192.0.2.2")));
}

}  // namespace
}  // namespace curfew::http
