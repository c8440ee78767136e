#include <curfew/http/fields.hpp>

#include <gtest/gtest.h>

#include <string>

namespace curfew::http {
namespace {

TEST(Fields, NamesCompareWithoutCase) {
  fields f;
  f.add("Content-Type", "a/b");
  ASSERT_NE(f.find("content-TYPE"), nullptr);
  EXPECT_EQ(*f.find("content-TYPE"), "a/b");
  EXPECT_EQ(f.find("Content-Typ"), nullptr);
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
  for (const auto& [name, value] : f) all += name + value;
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
  EXPECT_EQ(f.find("B"), nullptr);
}

}  // namespace
}  // namespace curfew::http
