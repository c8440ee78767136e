// Rows that are more than memory holds come some at a time, and end with their context; a transfer is done again where
// another one was in its way.
//
//     sql_stream [url]      postgresql://… or sqlite:…; default: a database in memory

#include <curfew/core.hpp>
#include <curfew/sql.hpp>
#include <iostream>
#include <string>

namespace sql = curfew::sql;

namespace {

sql::result<> fill(const curfew::context& ctx, sql::pool& db) {
  sql::batch all;
  all.add("drop table if exists accounts");
  all.add("create table accounts (id int primary key, cents bigint not null)");
  for (int i = 1; i <= 10'000; ++i) all.add("insert into accounts values ($1, $2)", i, 100);
  auto done = db.run_batch(ctx, all);  // one round trip; all or nothing
  if (!done) return done.error();
  return {};
}

sql::result<> transfer(const curfew::context& ctx, sql::transaction& tx) {
  auto taken = tx.execute(ctx, "update accounts set cents = cents - 100 where id = $1", 1);
  if (!taken) return taken.error();
  auto given = tx.execute(ctx, "update accounts set cents = cents + 100 where id = $1", 2);
  if (!given) return given.error();
  return {};
}

sql::result<> report(const curfew::context& ctx, sql::pool& db) {
  auto accounts = db.stream(ctx, "select id, cents from accounts where cents >= $1 order by id", 0);
  if (!accounts) return accounts.error();
  std::int64_t count = 0;
  std::int64_t sum = 0;
  for (;;) {
    auto some = accounts->next(ctx);
    if (!some) return some.error();
    if (some->empty()) break;
    for (auto [id, cents] : some->as<int, std::int64_t>()) {
      ++count;
      sum += cents;
    }
  }
  std::cout << count << " accounts, " << sum << " cents\n";
  return {};
}

sql::result<> run(const curfew::context& ctx, sql::pool& db) {
  if (auto filled = fill(ctx, db); !filled) return filled;
  if (auto moved = sql::transact(ctx, db, transfer); !moved) return moved;
  return report(ctx, db);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace std::chrono_literals;
  sql::pool db(argc > 1 ? argv[1] : "sqlite::memory:");
  const auto minute = curfew::with_timeout(curfew::background(), 60s);
  if (auto done = run(minute, db); !done) {
    std::cerr << done.error() << '\n';
    return 1;
  }
  const auto moment = curfew::with_timeout(curfew::background(), 10ms);
  const auto endless = db.query(
      moment, "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n");
  if (!endless) std::cout << "counting without an end: " << endless.error().code().message() << '\n';
}
