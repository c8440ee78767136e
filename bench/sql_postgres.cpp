// PostgreSQL through curfew, beside libpq used directly and Go's database/sql with lib/pq, from a server of its own. One core
// for the client, another for the server; in every round each takes its turn.
//
//   bench_sql_postgres [rounds] [seconds]               default: 5 1; prints the medians and their ratios
//   bench_sql_postgres run <side> <what> <url> [seconds]    one side alone: curfew or libpq
//
//   one        select 1, prepared, one connection, blocking calls in turn
//   coroutine  the same, in a coroutine (libpq: without blocking, by epoll)
//   many       64 coroutines on 8 connections, a row by its key each
//   rows       1,000,000 rows of 5 columns, kept, and read by their type
//   stream     the same as they come, a part at a time (libpq: in its single-row mode); and how much memory that takes
//
// curfew's calls and Go's have a deadline each, libpq's have none. libpq keeps 8 queries under way without waiting, and of its
// formats the faster one counts. The CPU time is that of the client's process, all its threads, user and system.
//
// Then how fast a query ends with its context: until the call is back, and until the server no longer works on it.
#include <libpq-fe.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <curfew/core.hpp>
#include <curfew/sql.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "measure.hpp"
#include "pinned_program.hpp"
#include "pinned_sides.hpp"
#include "postgres.hpp"

namespace sql = curfew::sql;
namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace std::string_literals;
using curfew::bench::cpu_seconds;
using curfew::bench::keep;
using curfew::bench::percentile;
using curfew::bench::samples;
using steady = std::chrono::steady_clock;

namespace {

constexpr int keys = 10'000;
constexpr int rows_read = 1'000'000;
constexpr int whole_reads = 3;
constexpr auto patience = 30s;

/// The same of few calls that read many rows.
template <class Read>
void read_whole(Read read) {
  read();
  std::vector<double> took;
  const double before = cpu_seconds();
  for (int i = 0; i != whole_reads; ++i) {
    const auto begun = steady::now();
    read();
    took.push_back(curfew::bench::microseconds(steady::now() - begun));
  }
  double all = 0;
  for (const double each : took) all += each;
  std::printf("%d %.6f %.6f %.1f %.1f\n", rows_read * whole_reads, all / 1e6, cpu_seconds() - before,
              percentile(took, 0.5), percentile(took, 1));
}

void expect(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

/// What the process has in memory, in bytes; at most until now.
std::size_t most_resident() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return static_cast<std::size_t>(used.ru_maxrss) * 1024;
}

/// Prints how much more memory a read takes than a small one before it.
template <class Read>
void print_memory(Read read) {
  read("select a, b, c, d, e from t limit 10");
  const std::size_t before = most_resident();
  read("select a, b, c, d, e from t");
  std::printf("%zu\n", (most_resident() - before) / 1024);
}

// curfew's side.

template <class T>
T checked(sql::result<T> got) {
  if (!got) throw std::runtime_error(got.error().message());
  return *std::move(got);
}

asio::awaitable<void> ask_one(sql::pool& db, samples& s) {
  const auto ctx = curfew::background();
  for (;;) {
    const auto begun = steady::now();
    const auto scope = curfew::with_timeout(ctx, patience);
    auto found = co_await db.async_query(scope.ctx(), "select 1");
    expect(checked(std::move(found))[0].get<int>(0) == 1, "another row came");
    if (!s.add(begun)) co_return;
  }
}

asio::awaitable<void> ask_by_key(sql::pool& db, samples& s, int first) {
  const auto ctx = curfew::background();
  for (int i = first;; ++i) {
    const auto begun = steady::now();
    const auto scope = curfew::with_timeout(ctx, patience);
    auto found = co_await db.async_query(scope.ctx(), "select name from users where id = $1", i % keys + 1);
    keep(checked(std::move(found))[0].get<std::string_view>(0));
    if (!s.add(begun)) co_return;
  }
}

std::int64_t sum_of(const sql::rows& found) {
  std::int64_t sum = 0;
  for (const auto& [a, b, c, d, e] :
       found.as<std::int64_t, std::int64_t, double, std::string_view, std::string_view>())
    sum += a + b + static_cast<std::int64_t>(c) + static_cast<std::int64_t>(d.size() + e.size());
  return sum;
}

std::size_t stream_by_curfew(sql::pool& db, sql::text what) {
  const auto scope = curfew::with_timeout(curfew::background(), patience);
  auto all = checked(db.stream(scope, what));
  std::int64_t sum = 0;
  std::size_t count = 0;
  for (auto some = checked(all.next(scope)); !some.empty(); some = checked(all.next(scope))) {
    sum += sum_of(some);
    count += some.size();
  }
  keep(sum);
  return count;
}

void run_curfew(const std::string& what, const std::string& url, double seconds) {
  sql::pool db(url, sql::pool_options().size(what == "many" ? 8 : 1));
  samples s(seconds);
  if (what == "rows") {
    return read_whole([&] {
      const auto scope = curfew::with_timeout(curfew::background(), patience);
      const auto found = checked(db.query(scope, "select a, b, c, d, e from t"));
      keep(sum_of(found));
      expect(found.size() == rows_read, "rows are missing");
    });
  }
  if (what == "stream") {
    return read_whole([&] {
      expect(stream_by_curfew(db, "select a, b, c, d, e from t") == rows_read, "rows are missing");
    });
  }
  if (what == "memory")
    return print_memory([&](const char* text) { stream_by_curfew(db, sql::dynamic(text)); });
  if (what == "one") {
    for (;;) {
      const auto begun = steady::now();
      const auto scope = curfew::with_timeout(curfew::background(), patience);
      expect(checked(db.query(scope, "select 1"))[0].get<int>(0) == 1, "another row came");
      if (!s.add(begun)) return s.print();
    }
  }
  asio::io_context io{1};
  const auto rethrow = [](std::exception_ptr thrown) {
    if (thrown) std::rethrow_exception(thrown);
  };
  if (what == "coroutine") asio::co_spawn(io, ask_one(db, s), rethrow);
  if (what == "many") {
    for (int i = 0; i != 64; ++i) asio::co_spawn(io, ask_by_key(db, s, 1000 * i), rethrow);
  }
  io.run();
  s.print();
}

// libpq's side.

struct close_connection {
  void operator()(PGconn* c) const noexcept { ::PQfinish(c); }
};
struct clear_answer {
  void operator()(PGresult* r) const noexcept { ::PQclear(r); }
};
using connection_ptr = std::unique_ptr<PGconn, close_connection>;
using answer_ptr = std::unique_ptr<PGresult, clear_answer>;

connection_ptr connect(const std::string& url) {
  connection_ptr made(::PQconnectdb(url.c_str()));
  if (::PQstatus(made.get()) != CONNECTION_OK) throw std::runtime_error(::PQerrorMessage(made.get()));
  return made;
}

answer_ptr good(PGresult* got) {
  answer_ptr answer(got);
  const auto status = ::PQresultStatus(got);
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
    throw std::runtime_error(::PQresultErrorMessage(got));
  return answer;
}

void prepare(PGconn* on, const char* text) { good(::PQprepare(on, "s", text, 0, nullptr)); }

template <class Number>
Number binary(const char* from) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, from, sizeof bits);
  return std::bit_cast<Number>(__builtin_bswap64(bits));
}

std::int64_t sum_of(const PGresult* found, bool is_binary) {
  const int count = ::PQntuples(found);
  std::int64_t sum = 0;
  for (int row = 0; row != count; ++row) {
    const auto value = [&](int column) { return ::PQgetvalue(found, row, column); };
    if (is_binary) {
      sum += binary<std::int64_t>(value(0)) + binary<std::int64_t>(value(1)) +
             static_cast<std::int64_t>(binary<double>(value(2)));
    } else {
      sum += std::strtoll(value(0), nullptr, 10) + std::strtoll(value(1), nullptr, 10) +
             static_cast<std::int64_t>(std::strtod(value(2), nullptr));
    }
    for (const int column : {3, 4}) {
      keep(value(column));
      sum += ::PQgetlength(found, row, column);
    }
  }
  return sum;
}

void read_by_libpq(PGconn* on, bool is_binary) {
  const auto found =
      good(::PQexecPrepared(on, "s", 0, nullptr, nullptr, nullptr, static_cast<int>(is_binary)));
  expect(::PQntuples(found.get()) == rows_read, "rows are missing");
  keep(sum_of(found.get(), is_binary));
}

/// What was sent, a row at a time.
std::size_t stream_by_libpq(PGconn* on) {
  expect(::PQsetSingleRowMode(on) == 1, "no single-row mode");
  std::int64_t sum = 0;
  std::size_t count = 0;
  while (PGresult* const got = ::PQgetResult(on)) {
    const answer_ptr row(got);
    const auto status = ::PQresultStatus(got);
    expect(status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK, "the stream has failed");
    sum += sum_of(got, false);
    count += static_cast<std::size_t>(::PQntuples(got));
  }
  keep(sum);
  return count;
}

/// Without blocking: a query under way on each of `count` connections.
void pump_libpq(const std::string& url, const char* text, bool by_key, std::size_t count, samples& s) {
  struct link {
    connection_ptr on;
    steady::time_point begun;
    int key = 0;
  };
  std::vector<link> links(count);
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  const auto send = [&](link& l) {
    const std::string key = std::to_string(l.key++ % keys + 1);
    const char* const value = key.c_str();
    l.begun = steady::now();
    expect(::PQsendQueryPrepared(l.on.get(), "s", by_key ? 1 : 0, by_key ? &value : nullptr, nullptr, nullptr,
                                 0) == 1 &&
               ::PQflush(l.on.get()) == 0,
           "a query was not sent");
  };
  for (std::size_t i = 0; i != count; ++i) {
    link& l = links[i];
    l.on = connect(url);
    l.key = static_cast<int>(1000 * i);
    prepare(l.on.get(), text);
    expect(::PQsetnonblocking(l.on.get(), 1) == 0, "it blocks");
    epoll_event interest{};
    interest.events = EPOLLIN;
    interest.data.ptr = &l;
    expect(::epoll_ctl(set, EPOLL_CTL_ADD, ::PQsocket(l.on.get()), &interest) == 0, "epoll_ctl");
    send(l);
  }
  std::array<epoll_event, 16> ready{};
  for (bool goes_on = true; goes_on;) {
    const int found = ::epoll_wait(set, ready.data(), static_cast<int>(ready.size()), -1);
    for (int i = 0; i < found; ++i) {
      link& l = *static_cast<link*>(ready[static_cast<std::size_t>(i)].data.ptr);
      expect(::PQconsumeInput(l.on.get()) == 1, "the connection is lost");
      while (::PQisBusy(l.on.get()) == 0) {
        PGresult* const got = ::PQgetResult(l.on.get());
        if (got != nullptr) {
          keep(std::string(::PQgetvalue(good(got).get(), 0, 0)));
          continue;
        }
        goes_on = s.add(l.begun) && goes_on;
        send(l);
      }
    }
  }
  ::close(set);
}

void run_libpq(const std::string& what, const std::string& url, double seconds) {
  samples s(seconds);
  if (what == "coroutine") {
    pump_libpq(url, "select 1", false, 1, s);
    return s.print();
  }
  if (what == "many") {
    pump_libpq(url, "select name from users where id = $1", true, 8, s);
    return s.print();
  }
  const auto on = connect(url);
  if (what == "memory") {
    return print_memory([&](const char* text) {
      expect(::PQsendQuery(on.get(), text) == 1, "a query was not sent");
      stream_by_libpq(on.get());
    });
  }
  prepare(on.get(), what == "one" ? "select 1" : "select a, b, c, d, e from t");
  if (what == "stream") {
    return read_whole([&] {
      expect(::PQsendQueryPrepared(on.get(), "s", 0, nullptr, nullptr, nullptr, 0) == 1,
             "a query was not sent");
      expect(stream_by_libpq(on.get()) == rows_read, "rows are missing");
    });
  }
  if (what != "one") return read_whole([&] { read_by_libpq(on.get(), what == "rows_binary"); });
  for (;;) {
    const auto begun = steady::now();
    const auto found = good(::PQexecPrepared(on.get(), "s", 0, nullptr, nullptr, nullptr, 0));
    expect(std::atoi(::PQgetvalue(found.get(), 0, 0)) == 1, "another row came");
    if (!s.add(begun)) return s.print();
  }
}

// The comparison.

void fill(const std::string& url) {
  const auto on = connect(url);
  for (const char* text :
       {"create table users (id integer primary key, name text)",
        "insert into users select i, 'user ' || i from generate_series(1, 10000) i",
        "create table t (a bigint, b bigint, c float8, d text, e text)",
        "insert into t select i, i * 7, i / 3.0, 'name ' || i, 'a text that is a little longer ' || i "
        "from generate_series(1, 1000000) i",
        "vacuum analyze"})
    good(::PQexec(on.get(), text));
}

void compare_sides(const std::string& url, int rounds, const std::string& seconds) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const char* const peers = std::getenv("CURFEW_BENCH_PEERS");
  const auto go = std::filesystem::path(peers != nullptr ? peers : "") / "sql_postgres";
  const bool has_go = std::filesystem::exists(go);
  if (!has_go) std::cerr << "no " << go << ": ./dev bench builds it\n";
  for (const std::string what : {"one", "coroutine", "many", "rows", "stream"}) {
    std::vector<curfew::bench::pinned_side> sides;
    sides.emplace_back("curfew", std::vector{self, "run"s, "curfew"s, what, url, seconds});
    sides.emplace_back("libpq", std::vector{self, "run"s, "libpq"s, what, url, seconds});
    if (what == "rows")
      sides.emplace_back("libpq, binary", std::vector{self, "run"s, "libpq"s, "rows_binary"s, url, seconds});
    // A goroutine is both; and database/sql gives rows as they come.
    const std::string of_go = what == "coroutine" ? "one" : what == "stream" ? "rows" : what;
    if (has_go) sides.emplace_back("Go", std::vector{go.string(), of_go, url, seconds});
    curfew::bench::compare_pinned(what, std::move(sides), rounds);
  }
  std::printf("\nmemory, at most, for a stream of %d rows\n", rows_read);
  for (const std::string side : {"curfew", "libpq"}) {
    const pinned_program run({self, "run", side, "memory", url}, 1);
    std::printf("%-14s %12s KB\n", side.c_str(), run.line().c_str());
  }
}

// The end of a query.

/// The server's own view, asked again and again by another connection.
class watcher {
 public:
  explicit watcher(const std::string& url) : on_(connect(url)) {
    prepare(on_.get(),
            "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep%'");
  }
  void until(int count) const {
    const auto limit = steady::now() + patience;
    while (look() != count) expect(steady::now() < limit, "a query does not end");
  }

 private:
  [[nodiscard]] int look() const {
    const auto found = good(::PQexecPrepared(on_.get(), "s", 0, nullptr, nullptr, nullptr, 0));
    return std::atoi(::PQgetvalue(found.get(), 0, 0));
  }

  connection_ptr on_;
};

struct ends {
  std::vector<double> back;
  std::vector<double> gone;

  void print(const char* side) const {
    std::printf("%-14s %12.0f %12.0f %12.0f %12.0f\n", side, percentile(back, 0.5), percentile(back, 0.99),
                percentile(gone, 0.5), percentile(gone, 0.99));
  }
};

/// \param query  Runs it, until it is ended.     \param end  Ends it.
template <class Query, class End>
void end_one(const watcher& look, ends& all, Query query, End end) {
  std::atomic<steady::rep> back{0};
  std::thread asks([&] {
    query();
    back = steady::now().time_since_epoch().count();
  });
  look.until(1);
  const auto ended = steady::now();
  end();
  look.until(0);
  all.gone.push_back(curfew::bench::microseconds(steady::now() - ended));
  asks.join();
  all.back.push_back(curfew::bench::microseconds(steady::time_point(steady::duration(back.load())) - ended));
}

void compare_ends(const std::string& url, int rounds) {
  sql::pool db(url, sql::pool_options().size(1));
  const auto plain = connect(url);
  const watcher look(url);
  ends ours;
  ends theirs;
  for (int round = 0; round != rounds; ++round) {
    auto scope = curfew::with_cancel(curfew::background());
    end_one(
        look, ours, [&] { expect(!db.query(scope, "select pg_sleep(60)"), "it came to its end"); },
        [&] { scope.cancel(); });
    const std::unique_ptr<PGcancel, void (*)(PGcancel*)> request(::PQgetCancel(plain.get()), &::PQfreeCancel);
    end_one(
        look, theirs, [&] { answer_ptr(::PQexec(plain.get(), "select pg_sleep(60)")).reset(); },
        [&] {
          std::array<char, 256> why{};
          expect(::PQcancel(request.get(), why.data(), static_cast<int>(why.size())) == 1, "no cancel");
        });
  }
  std::printf("\n%-14s %12s %12s %12s %12s\n", "end of a query", "back p50 us", "p99 us", "gone p50 us",
              "p99 us");
  ours.print("curfew");
  theirs.print("libpq");
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  try {
    if (args.size() > 3 && args[0] == "run") {
      const double seconds = args.size() > 4 ? std::stod(args[4]) : 1;
      args[1] == "libpq" ? run_libpq(args[2], args[3], seconds) : run_curfew(args[2], args[3], seconds);
      return 0;
    }
    if (curfew::tests::find_program("postgres").empty()) {
      std::cerr << "no postgres here\n";
      return 0;
    }
    const int rounds = args.empty() ? 5 : std::stoi(args[0]);
    pin_to(0);  // the server's, which inherits it
    const curfew::tests::postgres_server server(
        curfew::tests::postgres_options().set("shared_buffers=256MB").set("checkpoint_timeout=1h"));
    std::printf("PostgreSQL, a core for the client and one for the server; medians of %d rounds\n", rounds);
    fill(server.url());
    compare_sides(server.url(), rounds, args.size() > 1 ? args[1] : "1");
    pin_to(1);
    compare_ends(server.url(), 100);
    return 0;
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
