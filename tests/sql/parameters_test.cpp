// Values that are put together when the program runs, to both kinds of databases.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <curfew/core.hpp>
#include <optional>
#include <string>
#include <vector>

#include "run_coroutine.hpp"
#include "sql/any_database.hpp"

namespace curfew::sql {
namespace {

using tests::run_coroutine;

class Parameters : public any_database {
 protected:
  /// Of users with one of these numbers, how many there are.
  static std::string counting(const std::vector<std::int64_t>& ids, parameters& values) {
    std::string text = "select count(*) from users where id in (";
    for (const std::int64_t each : ids) {
      values.add(each);
      text += (values.size() == 1 ? "$" : ", $") + std::to_string(values.size());
    }
    return text + ')';
  }
};

TEST_P(Parameters, AreAsManyAsTheProgramAdds) {
  pool db(url);
  ASSERT_TRUE(db.execute(background(), "create table users (id bigint, name text)"));
  batch all;
  for (int i = 1; i <= 20; ++i) all.add("insert into users values ($1, $2)", i, "Ann");
  ASSERT_TRUE(db.run_batch(background(), all));

  parameters three;
  const std::string text = counting({3, 7, 99}, three);
  auto found = db.query(background(), dynamic(text), three);
  ASSERT_TRUE(found) << found.error();
  EXPECT_EQ((*found)[0].get<std::int64_t>(0), 2);

  auto in_coroutine = run_coroutine(db.async_query(background(), dynamic(text), three));
  ASSERT_TRUE(in_coroutine) << in_coroutine.error();
  EXPECT_EQ((*in_coroutine)[0].get<std::int64_t>(0), 2);

  std::vector<std::int64_t> hundred;
  for (std::int64_t i = 1; i <= 100; ++i) hundred.push_back(i);
  parameters many;
  auto of_hundred = db.query(background(), dynamic(counting(hundred, many)), many);
  ASSERT_TRUE(of_hundred) << of_hundred.error();
  EXPECT_EQ((*of_hundred)[0].get<std::int64_t>(0), 20);
}

TEST_P(Parameters, AreOfDifferentTypes) {
  pool db(url);
  auto tx = db.begin(background());
  ASSERT_TRUE(tx) << tx.error();
  ASSERT_TRUE(tx->execute(background(), "create table t (a bigint, b text, c bigint)"));
  ASSERT_TRUE(tx->execute(background(), "insert into t values ($1, $2, $3)",
                          parameters(1).add("one").add(std::optional<int>())));
  auto found = tx->query(background(), "select a, b, c from t where b = $1", parameters("one"));
  ASSERT_TRUE(found) << found.error();
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ((*found)[0].get<std::string>(1), "one");
  EXPECT_EQ((*found)[0].get<std::optional<int>>(2), std::nullopt);
}

CURFEW_WITH_EACH_DATABASE(Parameters);

}  // namespace
}  // namespace curfew::sql
