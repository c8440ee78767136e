// SQLite through curfew, beside sqlite3 used directly, in turns; and how fast a query ends with its context.
//
//   bench_sql [rounds]    default: 7

#include <sqlite3.h>
#include <stdlib.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/sql.hpp>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "measure.hpp"

namespace {

using namespace std::chrono_literals;
using curfew::background;
using curfew::bench::keep;
using curfew::bench::percentile;
namespace sql = curfew::sql;

constexpr int rows_read = 1'000'000;
constexpr int rows_written = 100'000;
constexpr int small_queries = 50'000;

/// sqlite3 as a careful program uses it: prepared once, parameters bound, columns read by type.
class direct {
 public:
  explicit direct(const std::string& path) {
    if (::sqlite3_open(path.c_str(), &database_) != SQLITE_OK) throw std::runtime_error("open");
    run("pragma journal_mode = wal");
    run("pragma synchronous = normal");
  }
  direct(const direct&) = delete;
  direct& operator=(const direct&) = delete;
  ~direct() { ::sqlite3_close(database_); }

  void run(const char* text) {
    if (::sqlite3_exec(database_, text, nullptr, nullptr, nullptr) != SQLITE_OK)
      throw std::runtime_error(::sqlite3_errmsg(database_));
  }
  void with(const char* text, const std::function<void(sqlite3_stmt*)>& use) {
    sqlite3_stmt* made = nullptr;
    if (::sqlite3_prepare_v2(database_, text, -1, &made, nullptr) != SQLITE_OK)
      throw std::runtime_error(::sqlite3_errmsg(database_));
    use(made);
    ::sqlite3_finalize(made);
  }

 private:
  sqlite3* database_ = nullptr;
};

template <class Act>
double seconds(Act act) {
  const auto began = std::chrono::steady_clock::now();
  act();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

template <class T>
T checked(sql::result<T> got) {
  if (!got) throw std::runtime_error(got.error().message());
  return *std::move(got);
}

struct sides {
  std::vector<double> ours;
  std::vector<double> theirs;

  void print(const char* what, double count) const {
    const double us = percentile(ours, 0.5);
    const double them = percentile(theirs, 0.5);
    std::printf("%-44s %10.0f ns  direct %10.0f ns  rate %.2f\n", what, us / count * 1e9, them / count * 1e9,
                them / us);
  }
};

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 7;
  auto pattern = (std::filesystem::temp_directory_path() / "curfew-bench-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) return 1;
  const std::filesystem::path directory = pattern;
  const std::string path = directory / "bench.db";
  {
    direct plain(path);
    sql::pool db("sqlite:" + path);
    plain.run("create table t (a integer primary key, b integer, c real, d text, e text)");
    plain.run("create table w (a integer primary key, b text)");
    plain.run(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000) "
        "insert into t select i, i * 7, i / 3.0, 'name ' || i, 'a text that is a little longer ' || i from "
        "n");

    sides reading;
    sides writing;
    sides small;
    for (int round = 0; round != rounds; ++round) {
      reading.ours.push_back(seconds([&] {
        std::int64_t sum = 0;
        const auto found = checked(db.query(background(), "select a, b, c, d, e from t"));
        for (const auto& [a, b, c, d, e] :
             found.as<std::int64_t, std::int64_t, double, std::string_view, std::string_view>())
          sum += a + b + static_cast<std::int64_t>(c) + static_cast<std::int64_t>(d.size() + e.size());
        keep(sum);
        if (found.size() != rows_read) throw std::logic_error("rows are missing");
      }));
      reading.theirs.push_back(seconds([&] {
        plain.with("select a, b, c, d, e from t", [](sqlite3_stmt* s) {
          std::int64_t sum = 0;
          while (::sqlite3_step(s) == SQLITE_ROW) {
            sum += ::sqlite3_column_int64(s, 0) + ::sqlite3_column_int64(s, 1) +
                   static_cast<std::int64_t>(::sqlite3_column_double(s, 2));
            keep(::sqlite3_column_text(s, 3));
            sum += ::sqlite3_column_bytes(s, 3);
            keep(::sqlite3_column_text(s, 4));
            sum += ::sqlite3_column_bytes(s, 4);
          }
          keep(sum);
        });
      }));
      plain.run("delete from w");
      writing.ours.push_back(seconds([&] {
        auto tx = checked(db.begin(background()));
        for (int i = 0; i != rows_written; ++i)
          checked(tx.execute(background(), "insert into w values ($1, $2)", i, "a name"));
        if (!tx.commit(background())) throw std::runtime_error("commit");
      }));
      plain.run("delete from w");
      writing.theirs.push_back(seconds([&] {
        plain.run("begin immediate");
        plain.with("insert into w values (?1, ?2)", [](sqlite3_stmt* s) {
          for (int i = 0; i != rows_written; ++i) {
            ::sqlite3_bind_int(s, 1, i);
            ::sqlite3_bind_text(s, 2, "a name", -1, SQLITE_TRANSIENT);
            ::sqlite3_step(s);
            ::sqlite3_reset(s);
          }
        });
        plain.run("commit");
      }));
      small.ours.push_back(seconds([&] {
        for (int i = 0; i != small_queries; ++i)
          keep(
              checked(db.query(background(), "select d from t where a = $1", i + 1))[0].get<std::string_view>(
                  0));
      }));
      small.theirs.push_back(seconds([&] {
        plain.with("select d from t where a = ?1", [](sqlite3_stmt* s) {
          for (int i = 0; i != small_queries; ++i) {
            ::sqlite3_bind_int(s, 1, i + 1);
            ::sqlite3_step(s);
            keep(std::string(reinterpret_cast<const char*>(::sqlite3_column_text(s, 0))));
            ::sqlite3_reset(s);
          }
        });
      }));
    }
    reading.print("1,000,000 rows of 5 columns, a row", rows_read);
    writing.print("100,000 inserts in a transaction, each", rows_written);
    small.print("a row by its key, through the pool", small_queries);

    std::vector<double> until_back;
    for (int i = 0; i != 200; ++i) {
      auto scope = curfew::with_cancel(background());
      std::chrono::steady_clock::time_point ended;
      std::thread later([&] {
        std::this_thread::sleep_for(5ms);
        ended = std::chrono::steady_clock::now();
        scope.cancel();
      });
      const auto got = db.query(scope, "select count(*) from t x, t y");
      const auto back = std::chrono::steady_clock::now();
      later.join();
      if (got) throw std::logic_error("it came to its end");
      until_back.push_back(curfew::bench::microseconds(back - ended));
    }
    std::printf("the context ends → the call is back              p50 %.0f µs  p99 %.0f µs\n",
                percentile(until_back, 0.5), percentile(until_back, 0.99));
  }
  std::filesystem::remove_all(directory);
}
