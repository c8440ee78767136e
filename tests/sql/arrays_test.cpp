// Arrays as parameters and as columns.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <curfew/core.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sql/postgres_fixture.hpp"
#include "sql/read_text.hpp"

namespace curfew::sql {
namespace {

using tests::read_text;

class PostgresArray : public postgres_test {};

TEST(Array, IsReadAsItIsWritten) {
  using strings = std::vector<std::string>;
  EXPECT_EQ(read_text<std::vector<int>>("{}"), std::vector<int>());
  EXPECT_EQ(read_text<std::vector<int>>("{1,-2,3}"), (std::vector<int>{1, -2, 3}));
  EXPECT_EQ(read_text<std::vector<int>>("[0:1]={1,2}"), (std::vector<int>{1, 2}));
  EXPECT_EQ(read_text<std::vector<bool>>("{t,f}"), (std::vector<bool>{true, false}));
  EXPECT_EQ(read_text<strings>(R"({a,"b c","d\"e","f\\g","","NULL","{}"})"),
            (strings{"a", "b c", "d\"e", "f\\g", "", "NULL", "{}"}));
  EXPECT_EQ(read_text<std::vector<std::optional<int>>>("{1,NULL}"),
            (std::vector<std::optional<int>>{1, std::nullopt}));
}

TEST(Array, OfBytesIsReadFromHexadecimalDigits) {
  using blobs = std::vector<std::optional<bytes>>;
  EXPECT_EQ(read_text<blobs>(R"({"\\x00fF",NULL,"\\x"})"),
            (blobs{bytes{std::byte(0), std::byte(255)}, std::nullopt, bytes()}));
  for (const char* text : {R"({"\\x0"})", R"({"\\x0g"})", R"({"00"})", R"({abc})", R"({NULL})"})
    EXPECT_THROW(std::ignore = read_text<std::vector<bytes>>(text), conversion_error) << text;
}

TEST(Array, ThatIsMalformedIsRefused) {
  for (const char* text : {"", "{", "}", "1", "{1", "1}", "{1,}", "{,1}", "{1,,2}", "{{1},{2}}", "{\"a}",
                           "{\"a\\}", "{\"a\"b}", "{1 2}", "{x}", "[0:1]", "{99999999999999999999}"})
    EXPECT_THROW(std::ignore = read_text<std::vector<int>>(text), conversion_error) << text;
  EXPECT_THROW(std::ignore = read_text<std::vector<int>>("{NULL}"), conversion_error);
  EXPECT_THROW(std::ignore = read_text<std::vector<std::int16_t>>("{70000}"), conversion_error);
}

TEST(Array, IsNoParameterOfSqlite) {
  pool db("sqlite::memory:");
  const auto refused = db.query(background(), "select $1", std::vector<int>{1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::bad_parameter);
}

TEST_F(PostgresArray, ArraysComeBackAsTheyWent) {
  pool db(url());
  using strings = std::vector<std::string>;
  const std::vector<std::optional<std::int64_t>> numbers{1, std::nullopt, INT64_MIN};
  const strings words{"", "a b", "\"", "\\", "NULL", "null", ",", "{", "ü", "'"};
  const std::vector<double> reals{1.5, -1e300};
  const std::vector<bool> flags{true, false};
  const std::vector<bytes> blobs{{std::byte(0), std::byte(255)}, {}};
  const auto id = *uuid::parse("f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
  auto found = db.query(background(),
                        "select $1::bigint[], $2::text[], $3::float8[], $4::bool[], $5::bytea[], $6::uuid[], "
                        "$7::int[]",
                        numbers, words, reals, flags, blobs, std::vector<uuid>{id}, std::vector<int>());
  ASSERT_TRUE(found) << found.error();
  for (auto [n, w, r, f, b, u, none] :
       found->as<std::vector<std::optional<std::int64_t>>, strings, std::vector<double>, std::vector<bool>,
                 std::vector<bytes>, std::vector<uuid>, std::vector<int>>()) {
    EXPECT_EQ(n, numbers);
    EXPECT_EQ(w, words);
    EXPECT_EQ(r, reals);
    EXPECT_EQ(f, flags);
    EXPECT_EQ(b, blobs);
    EXPECT_EQ(u, std::vector<uuid>{id});
    EXPECT_TRUE(none.empty());
  }
}

TEST_F(PostgresArray, AnyOfAnArrayFindsItsRows) {
  pool db(url());
  auto found = db.query(background(), "select i from generate_series(1, 10) i where i = any($1) order by i",
                        std::vector<int>{7, 3, 99});
  ASSERT_TRUE(found) << found.error();
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].get<int>(0), 3);
  EXPECT_EQ((*found)[1].get<int>(0), 7);
}

}  // namespace
}  // namespace curfew::sql
