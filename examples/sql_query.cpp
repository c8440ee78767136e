// A query in a handler: it ends in the database when its client goes away.
//
//     sql_query [address]      prints its URL; /users?older_than=30 lists, /slow counts for minutes; Ctrl-C ends it

#include <boost/asio/awaitable.hpp>
#include <charconv>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/io.hpp>
#include <curfew/sql.hpp>
#include <iostream>
#include <string>

namespace asio = boost::asio;
namespace http = curfew::http;
namespace sql = curfew::sql;

namespace {

/// All or nothing: what is not committed is rolled back.
sql::result<> fill(const curfew::context& ctx, sql::pool& db) {
  auto tx = db.begin(ctx);
  if (!tx) return tx.error();
  auto made = tx->execute(ctx, "create table users (id integer primary key, name text, age int)");
  if (!made) return made.error();
  for (int i = 1; i <= 5; ++i) {
    auto added = tx->execute(ctx, "insert into users (name, age) values ($1, $2)",
                             "user " + std::to_string(i), 10 * i);
    if (!added) return added.error();
  }
  return tx->commit(ctx);
}

http::response failed(const curfew::error& why) {
  std::cout << why << std::endl;
  return http::text(http::status::service_unavailable, why.code().message() + '\n');
}

asio::awaitable<http::response> users(curfew::context ctx, const http::request& request, sql::pool& db) {
  const std::string text = request.query("older_than").value_or("0");
  int age = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), age).ec != std::errc())
    co_return http::text(http::status::bad_request, "older_than is a number\n");
  auto found = co_await db.async_query(ctx, "select id, name from users where age > $1 order by id", age);
  if (!found) co_return failed(found.error());
  std::string list;
  for (auto [id, name] : found->as<std::int64_t, std::string>())
    list += std::to_string(id) + ' ' + name + '\n';
  co_return http::text(http::status::ok, list);
}

asio::awaitable<http::response> slow(curfew::context ctx, sql::pool& db) {
  auto counted = co_await db.async_query(ctx,
                                         "with recursive n(i) as (select 1 union all select i + 1 from n "
                                         "where i < 10000000000) select count(*) from n");
  if (!counted) co_return failed(counted.error());
  co_return http::text(http::status::ok, "at last\n");
}

asio::awaitable<int> serve(curfew::context ctx, std::string address) {
  sql::pool db("sqlite::memory:");
  if (auto filled = fill(ctx, db); !filled) {
    std::cerr << filled.error() << '\n';
    co_return 1;
  }
  http::router routes;
  routes.get("/users",
             [&db](curfew::context c, const http::request& r) { return users(std::move(c), r, db); });
  routes.get("/slow", [&db](curfew::context c, const http::request&) { return slow(std::move(c), db); });
  http::server server(routes, http::server_options().listen(address));
  if (auto up = server.listen(); !up) {
    std::cerr << up.error() << '\n';
    co_return 1;
  }
  std::cout << server.url() << std::endl;
  auto report = co_await server.async_serve(ctx);
  co_return report ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string address = argc > 1 ? argv[1] : "127.0.0.1:8080";
  return curfew::run([&](curfew::context ctx) { return serve(ctx, address); });
}
