// What clients that give up do to the others. 1,000 clients, coroutines of one thread, share a pool of 8 connections to
// PostgreSQL. Of their calls 70 % are short queries. 30 % are long ones, given up at a random moment, waiting or running.
//
//   bench_sql_giving_up [seconds] [clients]         default: 10 1000
//
//   cancels   sql::pool: the query is ended in the server, and its connection used again
//   closes    libpq under the same pool of curfew's: the connection is closed, and another one made
//
// The server has a core, and the clients have another. It allows 100 connections.
#include <libpq-fe.h>

#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <curfew/sql.hpp>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "measure.hpp"
#include "pinned_program.hpp"
#include "postgres.hpp"

namespace sql = curfew::sql;
namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::bench::percentile;
using steady = std::chrono::steady_clock;

namespace {

constexpr std::size_t places = 8;
constexpr std::size_t most_connections = 100;
constexpr const char* short_query = "select count(*) from generate_series(1, 2000)";
constexpr const char* long_query = "select count(*) from generate_series(1, 5000000)";  // about a second

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

/// What the calls have come to.
struct counts {
  std::vector<double> took;  // of short queries, in milliseconds
  std::size_t failed = 0;    // the same, which no client has given up
  std::size_t given_up = 0;
};

/// One side: runs a query. \return whether it has answered.
using ask = std::function<asio::awaitable<bool>(curfew::context, const char*)>;

asio::awaitable<bool> ask_pool(sql::pool& db, curfew::context ctx, const char* query) {
  const auto found = co_await db.async_query(std::move(ctx), sql::dynamic(query));
  co_return found.has_value();
}

/// libpq without blocking. A connection whose query was given up is closed.
class closing_pool {
 public:
  explicit closing_pool(std::string url)
      : url_(std::move(url)),
        all_(curfew::pool_options().capacity(places).max_idle(places),
             [](const connection_ptr& one) { return ::PQstatus(one.get()) == CONNECTION_OK; }) {}

  asio::awaitable<bool> run(curfew::context ctx, const char* query) {
    const auto work = [this](const curfew::context& /*ctx*/) {
      connection_ptr made(::PQconnectdb(url_.c_str()));
      if (::PQstatus(made.get()) == CONNECTION_OK) ::PQsetnonblocking(made.get(), 1);
      return made;
    };
    const auto make = [&work](curfew::context c) -> asio::awaitable<curfew::result<connection_ptr>> {
      auto made = co_await curfew::async_offload(std::move(c), work);
      if (!made) co_return made.error();
      if (::PQstatus(made->get()) != CONNECTION_OK)
        co_return curfew::error(make_error_code(std::errc::connection_refused));
      co_return *std::move(made);
    };
    auto mine = co_await curfew::async_acquire(ctx, all_, make);
    if (!mine) co_return false;
    const bool done = co_await answered((**mine).get(), std::move(ctx), query);
    if (!done) mine->discard();
    co_return done;
  }

 private:
  static asio::awaitable<bool> answered(PGconn* on, curfew::context ctx, const char* query) {
    if (::PQsendQuery(on, query) == 0 || ::PQflush(on) != 0) co_return false;
    asio::posix::stream_descriptor socket(co_await asio::this_coro::executor, ::PQsocket(on));
    bool is_right = true;
    for (;;) {
      while (::PQisBusy(on) == 0) {
        const answer_ptr got(::PQgetResult(on));
        if (!got) {
          socket.release();
          co_return is_right;
        }
        is_right = ::PQresultStatus(got.get()) == PGRES_TUPLES_OK;
      }
      auto ready = co_await socket.async_wait(asio::posix::stream_descriptor::wait_read, curfew::with(ctx));
      if (!ready || ::PQconsumeInput(on) == 0) break;
    }
    socket.release();
    co_return false;
  }

  const std::string url_;
  curfew::pool<connection_ptr> all_;
};

/// One client: thinks, asks, and so on until ctx ends.
asio::awaitable<void> be_client(curfew::context ctx, ask& with, unsigned seed, counts& all) {
  std::mt19937 random(seed);
  const auto up_to = [&](int milliseconds) {
    return std::chrono::milliseconds(std::uniform_int_distribution<int>(0, milliseconds)(random));
  };
  for (;;) {
    const auto slept = co_await curfew::async_sleep_for(ctx, up_to(4000));
    if (!slept) co_return;
    const bool gives_up = random() % 10 < 3;
    const auto limit = curfew::with_timeout(ctx, gives_up ? up_to(50) : 5000ms);
    const auto begun = steady::now();
    const char* const query = gives_up ? long_query : short_query;
    const bool done = co_await with(limit.ctx(), query);
    if (ctx.err()) co_return;
    if (gives_up) {
      ++all.given_up;
    } else if (done) {
      all.took.push_back(curfew::bench::microseconds(steady::now() - begun) / 1e3);
    } else {
      ++all.failed;
    }
  }
}

/// What the server has of the clients, looked at again and again, by a connection that it keeps for such.
class watcher {
 public:
  explicit watcher(const std::string& url) : on_(connect(url)) {}

  /// Its connections, and those of them that work.
  std::pair<int, int> look() const {
    const answer_ptr got(
        ::PQexec(on_.get(),
                 "select count(*), count(*) filter (where state = 'active') from pg_stat_activity "
                 "where usename = 'app'"));
    if (::PQresultStatus(got.get()) != PGRES_TUPLES_OK) throw std::runtime_error(::PQerrorMessage(on_.get()));
    return {std::atoi(::PQgetvalue(got.get(), 0, 0)), std::atoi(::PQgetvalue(got.get(), 0, 1))};
  }

 private:
  connection_ptr on_;
};

void measure(const char* name, ask with, const watcher& look, std::size_t clients,
             std::chrono::seconds seconds) {
  counts all;
  int connections = 0;
  int working = 0;
  std::atomic<bool> is_over{false};
  std::thread looks([&] {
    while (!is_over) {
      const auto [now, at_work] = look.look();
      connections = std::max(connections, now);
      working = std::max(working, at_work);
      std::this_thread::sleep_for(50ms);
    }
  });
  {
    const auto scope = curfew::with_timeout(curfew::background(), seconds);
    asio::io_context loop{1};
    for (std::size_t i = 0; i != clients; ++i) {
      asio::co_spawn(loop, be_client(scope.ctx(), with, static_cast<unsigned>(i), all),
                     [](const std::exception_ptr& thrown) {
                       if (thrown) std::rethrow_exception(thrown);
                     });
    }
    loop.run();
  }
  is_over = true;
  looks.join();
  const auto ended = steady::now();
  const int left = look.look().second;
  while (look.look().second != 0) std::this_thread::sleep_for(5ms);
  const double quiet = curfew::bench::microseconds(steady::now() - ended) / 1e3;
  std::printf("%-9s %9.0f %9.1f %9.1f %8zu %9zu %12d %9d %6d %10.0f\n", name,
              static_cast<double>(all.took.size()) / static_cast<double>(seconds.count()),
              percentile(all.took, 0.5), percentile(all.took, 0.99), all.failed, all.given_up, connections,
              working, left, quiet);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  try {
    if (curfew::tests::find_program("postgres").empty()) {
      std::cerr << "no postgres here\n";
      return 0;
    }
    const std::chrono::seconds seconds(args.empty() ? 10 : std::stoi(args[0]));
    const std::size_t clients = args.size() > 1 ? std::stoul(args[1]) : 1000;
    pin_to(0);  // the server's, which inherits it
    curfew::tests::postgres_server server(
        curfew::tests::postgres_options().max_connections(most_connections));
    server.ask("create role app login");
    pin_to(1);
    const watcher look(server.url());
    const std::string url = "postgresql://app@127.0.0.1:" + std::to_string(server.port()) + "/postgres";
    std::printf("%zu clients, %zu connections; 30 %% of the calls are given up\n", clients, places);
    std::printf("%-9s %9s %9s %9s %8s %9s %12s %9s %6s %10s\n", "", "others/s", "p50 ms", "p99 ms", "failed",
                "given up", "connections", "at work", "left", "quiet ms");
    {
      sql::pool db(url, sql::pool_options().size(places));
      const ask by_pool = [&db](curfew::context ctx, const char* query) {
        return ask_pool(db, std::move(ctx), query);
      };
      measure("cancels", by_pool, look, clients, seconds);
    }
    {
      closing_pool db(url);
      const ask by_closing = [&db](curfew::context ctx, const char* query) {
        return db.run(std::move(ctx), query);
      };
      measure("closes", by_closing, look, clients, seconds);
    }
    return 0;
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
