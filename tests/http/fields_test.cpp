#include <curfew/http/fields.hpp>

#include <gtest/gtest.h>

#include <iterator>
#include <string>
#include <utility>

namespace curfew::http {
namespace {

TEST(Fields, NamesCompareWithoutCase) {
  fields f;
  f.add("Content-Type", "a/b");
  ASSERT_TRUE(f.contains("content-TYPE"));
  EXPECT_EQ(*f.find("content-TYPE"), "a/b");
  EXPECT_FALSE(f.contains("Content-Typ"));
  EXPECT_FALSE(same_name("a[", "a{")) << "only letters have a case";
  EXPECT_TRUE(same_name("", ""));
}

TEST(Fields, KeepOrderAndDoubles) {
  fields f;
  f.add("A", "1");
  f.add("B", "2");
  f.add("a", "3");
  EXPECT_EQ(f.count("A"), 2U);
  EXPECT_EQ(*f.find("a"), "1");
  std::string all;
  for (const auto& [name, value] : f) all.append(name).append(value);
  EXPECT_EQ(all, "A1B2a3");
}

TEST(Fields, SetReplacesAllOfThatName) {
  fields f;
  f.add("A", "1");
  f.add("B", "2");
  f.add("a", "3");
  f.set("A", "4");
  EXPECT_EQ(f.count("A"), 1U);
  EXPECT_EQ(*f.find("A"), "4");
  EXPECT_EQ(f.size(), 2U);
  f.set("C", "5");
  f.erase("b");
  EXPECT_EQ(f.size(), 2U);
  EXPECT_FALSE(f.contains("B"));
}

TEST(Fields, SetOneStandsWhereTheFirstStood) {
  fields f;
  for (const char* name : {"A", "B", "C", "b", "D", "B"}) f.add(name, name);
  f.set("b", std::string(300, 'x'));
  std::string names;
  for (const auto& [name, value] : f) names += name;
  EXPECT_EQ(names, "AbCD");
  EXPECT_EQ(*f.find("B"), std::string(300, 'x'));
  EXPECT_EQ(*f.find("D"), "D");
}

TEST(Fields, EraseTakesOutAllOfThatName) {
  fields f;
  for (const char* name : {"A", "a", "B", "A"}) f.add(name, "");
  f.erase("A");
  EXPECT_EQ(f.size(), 1U);
  EXPECT_EQ((*f.begin()).name, "B");
  f.erase("none");
  f.erase("B");
  EXPECT_TRUE(f.empty());
  EXPECT_EQ(f.begin(), f.end());
}

TEST(Fields, TakeTextOfTheirOwn) {
  fields f;
  f.add("A", "a value that is to be moved");
  for (int i = 0; i < 20; ++i) f.add("B", *f.find("A"));
  f.set("A", *f.find("B"));
  f.set((*f.begin()).name, "new");
  EXPECT_EQ(*f.find("A"), "new");
  EXPECT_EQ(f.count("B"), 20U);
  EXPECT_EQ(*f.find("B"), "a value that is to be moved");
  f.erase((*std::next(f.begin())).name);
  EXPECT_EQ(f.size(), 1U);
}

TEST(Fields, AreEmptyOnceMovedFrom) {
  fields f;
  f.add("A", std::string(1000, 'a'));
  const fields copy = f;
  const fields moved = std::move(f);
  f = {};
  EXPECT_TRUE(f.empty());
  EXPECT_EQ(copy.size(), 1U);
  EXPECT_EQ(*moved.find("A"), *copy.find("A"));
}

TEST(Fields, OfAHeadTakeOneAllocation) {
  fields f;
  f.add("Content-Type", "text/plain; charset=utf-8");
  const void* const first = (*f.begin()).name.data();
  f.add("Cache-Control", "no-cache");
  f.add("ETag", "\"0123456789abcdef\"");
  EXPECT_EQ((*f.begin()).name.data(), first);
  f.reserve(2000);
  const void* const second = (*f.begin()).name.data();
  for (int i = 0; i < 20; ++i) f.add("X-Field-" + std::to_string(i), std::string(40, 'v'));
  EXPECT_EQ((*f.begin()).name.data(), second);
}

}  // namespace
}  // namespace curfew::http
