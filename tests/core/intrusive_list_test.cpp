#include <curfew/core/detail/intrusive_list.hpp>

#include <gtest/gtest.h>
#include <vector>

namespace curfew::detail {
namespace {

struct by_color;
struct ball : list_hook<>, list_hook<by_color> {
  int number;
  explicit ball(int n) noexcept : number(n) {}
};
using balls = intrusive_list<ball>;

std::vector<int> numbers(const balls& of) {
  std::vector<int> found;
  of.for_each([&](const ball& b) { found.push_back(b.number); });
  return found;
}

TEST(IntrusiveList, KeepsTheOrderInWhichElementsCame) {
  balls list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.front(), nullptr);
  ball a(1);
  ball b(2);
  ball c(3);
  list.push_back(a);
  list.push_back(b);
  list.push_back(c);
  EXPECT_EQ(numbers(list), (std::vector{1, 2, 3}));
  EXPECT_EQ(list.front(), &a);
}

TEST(IntrusiveList, RemovesFromAnyPlaceAndSaysWhetherItWasThere) {
  balls list;
  ball a(1);
  ball b(2);
  ball c(3);
  for (ball* each : {&a, &b, &c}) list.push_back(*each);
  EXPECT_TRUE(list.remove(b));
  EXPECT_EQ(numbers(list), (std::vector{1, 3}));
  EXPECT_FALSE(list.remove(b));
  EXPECT_TRUE(list.remove(a));
  EXPECT_EQ(numbers(list), (std::vector{3}));
  EXPECT_TRUE(list.remove(c));
  EXPECT_TRUE(list.empty());
  list.push_back(b);
  EXPECT_EQ(numbers(list), (std::vector{2}));
}

TEST(IntrusiveList, PopsTheFirst) {
  balls list;
  EXPECT_EQ(list.pop_front(), nullptr);
  ball a(1);
  ball b(2);
  list.push_back(a);
  list.push_back(b);
  EXPECT_EQ(list.pop_front(), &a);
  EXPECT_FALSE(a.list_hook<>::is_linked());
  EXPECT_EQ(list.pop_front(), &b);
  EXPECT_EQ(list.pop_front(), nullptr);
}

TEST(IntrusiveList, TakesOverAnotherListAsAWhole) {
  balls list;
  balls other;
  ball a(1);
  ball b(2);
  ball c(3);
  ball d(4);
  list.splice_back(other);
  EXPECT_TRUE(list.empty());
  other.push_back(a);
  other.push_back(b);
  list.splice_back(other);
  EXPECT_TRUE(other.empty());
  other.push_back(c);
  other.push_back(d);
  list.splice_back(other);
  EXPECT_EQ(numbers(list), (std::vector{1, 2, 3, 4}));
  EXPECT_TRUE(list.remove(d));
  EXPECT_TRUE(list.remove(a));
  EXPECT_EQ(numbers(list), (std::vector{2, 3}));
}

TEST(IntrusiveList, AnElementIsInAListOfEachTag) {
  balls list;
  intrusive_list<ball, by_color> other;
  ball a(1);
  list.push_back(a);
  other.push_back(a);
  EXPECT_TRUE(list.remove(a));
  EXPECT_EQ(other.front(), &a);
}

}  // namespace
}  // namespace curfew::detail
