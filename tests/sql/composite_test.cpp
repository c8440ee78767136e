// Enumerations by name, and composite values, as parameters and as columns.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "sql/postgres_fixture.hpp"
#include "sql/read_text.hpp"

namespace curfew::sql {
namespace {

using tests::read_text;

enum class mood : std::uint8_t { sad, calm, happy };
constexpr auto sql_names(mood /*of it*/) {
  return std::to_array<enum_name<mood>>({{mood::sad, "sad"}, {mood::happy, "happy, and so on"}});
}

struct item {
  std::string name;
  int count;
  std::optional<double> price;
  friend bool operator==(const item&, const item&) = default;
};

struct person {
  std::int64_t id;
  mood now;
  item wants;
  friend bool operator==(const person&, const person&) = default;
};

template <class T>
std::string refusal_of(const std::string& text) {
  try {
    std::ignore = read_text<T>(text);
  } catch (const conversion_error& why) {
    return why.what();
  }
  return "none";
}

using strings = std::tuple<std::string, std::string>;
using may_be_null = std::tuple<std::optional<std::string>, std::optional<std::string>>;

TEST(Composite, IsReadAsItIsWritten) {
  EXPECT_EQ(read_text<strings>("(a,\"b c\")"), strings("a", "b c"));
  EXPECT_EQ(read_text<strings>(R"-(("d""e","f\\g"))-"), strings("d\"e", "f\\g"));
  EXPECT_EQ(read_text<strings>(R"-(("","(,)"))-"), strings("", "(,)"));
  EXPECT_EQ(read_text<may_be_null>("(,)"), may_be_null());
  EXPECT_EQ(read_text<may_be_null>("(,\"\")"), may_be_null(std::nullopt, ""));
  EXPECT_EQ((read_text<std::tuple<int, bool, std::vector<int>>>("(-7,t,\"{1,2}\")")),
            std::tuple(-7, true, std::vector<int>{1, 2}));
  EXPECT_EQ(read_text<item>("(\"two words\",3,)"), (item{"two words", 3, std::nullopt}));
  EXPECT_EQ(read_text<std::vector<item>>(R"-({"(a,1,2.5)","(\"b\"\"c\",2,)"})-"),
            (std::vector<item>{{"a", 1, 2.5}, {"b\"c", 2, std::nullopt}}));
}

TEST(Composite, ThatIsMalformedIsRefused) {
  for (const char* text :
       {"", "(", ")", "()", "a,b", "(a,b", "a,b)", "(a,b)c)", "(a)b,c)", "(\"a,b)", "(a,\"b)", "(a,b\\)"})
    EXPECT_THROW(std::ignore = read_text<strings>(text), conversion_error) << text;
  EXPECT_EQ(refusal_of<strings>("(a,b,c)"), "column it has 3 fields, and 2 were asked for");
  EXPECT_EQ((refusal_of<std::tuple<int, int>>("(1,x)")), "column it is text, and was read as numbers");
  EXPECT_TRUE((refusal_of<std::tuple<int, int>>("(1,)").contains("is NULL"))) << "without an optional";
}

TEST(Composite, IsNoParameterOfSqlite) {
  pool db("sqlite::memory:");
  const auto refused = db.query(background(), "select $1", std::tuple(1, 2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::bad_parameter);
}

TEST(EnumNames, AreWhatADatabaseKeeps) {
  pool db("sqlite::memory:");
  auto found = db.query(background(), "select $1, typeof($1)", mood::happy);
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ((*found)[0].get<mood>(0), mood::happy);
  EXPECT_EQ((*found)[0].get<std::string>(0), "happy, and so on");
  EXPECT_EQ((*found)[0].get<std::string>(1), "text");
}

TEST(EnumNames, AreNeededByBothSides) {
  EXPECT_EQ(refusal_of<mood>("calm"),
            "column it is 'calm', which is no name in sql_names of its enumeration");
  EXPECT_THROW(std::ignore = parameters(mood::calm), std::invalid_argument);
}

class PostgresComposite : public postgres_test {};

TEST_F(PostgresComposite, ValuesComeBackAsTheyWent) {
  ask("create type mood as enum ('sad', 'happy, and so on');"
      "create type item as (name text, count int, price float8);"
      "create table people (id bigint, now mood, wants item)");
  pool db(url());
  const std::vector<person> all{{1, mood::sad, {"a \"b\", (c)\\", -5, 0.1}},
                                {2, mood::happy, {"", 0, std::nullopt}},
                                {3, mood::sad, {"NULL", 7, 1e300}}};
  for (const person& each : all) {
    const auto done =
        db.execute(patience, "insert into people values ($1, $2, $3)", each.id, each.now, each.wants);
    ASSERT_TRUE(done) << done.error();
  }
  const auto found = db.query_as<person>(patience, "select * from people order by id");
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ(*found, all);
  const auto sad = db.query(patience, "select count(*) from people where now = $1", mood::sad);
  ASSERT_TRUE(sad) << sad.error();
  EXPECT_EQ((*sad)[0].get<int>(0), 2);
}

TEST_F(PostgresComposite, ARowHoldsWhatBelongsToIt) {
  ask("create table orders (id int); create table items (of_order int, name text, count int, price float8);"
      "insert into orders values (1), (2), (3);"
      "insert into items values (1, 'tea', 2, 3.5), (1, 'milk, whole', 1, null), (2, '\"rye\"', 1, 4)");
  pool db(url());
  const auto found =
      db.query(patience,
               "select id, array(select (name, count, price) from items where of_order = id order by name) "
               "from orders order by id");
  ASSERT_TRUE(found) << found.error();
  std::vector<std::vector<item>> all;
  for (auto [id, items] : found->as<int, std::vector<item>>()) all.push_back(items);
  EXPECT_EQ(all, (std::vector<std::vector<item>>{
                     {{"milk, whole", 1, std::nullopt}, {"tea", 2, 3.5}}, {{"\"rye\"", 1, 4}}, {}}));
}

TEST_F(PostgresComposite, ListsOfThemAreParametersToo) {
  ask("create type item as (name text, count int, price float8); create type mood as enum ('sad', 'happy, "
      "and so on')");
  pool db(url());
  const std::vector<item> items{{"a,b", 1, 2.5}, {"\\\"", 2, std::nullopt}};
  const auto found =
      db.query(patience, "select name, count, price from unnest($1::item[]) order by count", items);
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ(as_structs<item>(*found).value_or(std::vector<item>()), items);
  const std::vector<mood> moods{mood::happy, mood::sad};
  const auto same = db.query(patience, "select $1::mood[]", moods);
  ASSERT_TRUE(same) << same.error();
  EXPECT_EQ((*same)[0].get<std::vector<mood>>(0), moods);
}

TEST_F(PostgresComposite, FieldsAreOfEachKind) {
  pool db(url());
  using fields = std::tuple<bool, timestamp, uuid, numeric, std::vector<std::optional<std::string>>, strings>;
  const fields all(true, timestamp(std::chrono::microseconds(1'700'000'000'123'456)),
                   *uuid::parse("f81d4fae-7dec-11d0-a765-00a0c91e6bf6"), numeric{"12.50"},
                   {"a b", std::nullopt, "\"\\"}, strings("x,y", ""));
  const auto found = db.query(patience,
                              "select row($1::bool, $2::timestamptz, $3::uuid, $4::numeric, $5::text[], "
                              "row($6::text, $7::text))",
                              std::get<0>(all), std::get<1>(all), std::get<2>(all), std::get<3>(all),
                              std::get<4>(all), std::get<0>(std::get<5>(all)), std::get<1>(std::get<5>(all)));
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ((*found)[0].get<fields>(0), all);
  EXPECT_EQ((*found)[0].get<std::optional<fields>>(0), all);
}

}  // namespace
}  // namespace curfew::sql
