// PostgreSQL over TLS, with a server that takes no connection without.

#include <curfew/sql.hpp>

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/io.hpp>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "race.hpp"
#include "sanitizers.hpp"
#include "sql/postgres_fixture.hpp"

namespace curfew::sql {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

/// A certificate that signs itself, for 127.0.0.1, and its key.
class identity {
 public:
  identity() {
    const auto user = tests::detail::find_server_user();
    tests::detail::give_to(user, folder_ / "");
    const auto made =
        tests::run({tests::find_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key(), "-out", certificate(),
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"});
    if (made.code != 0) throw std::runtime_error("openssl makes no certificate");
    std::filesystem::permissions(key(), std::filesystem::perms::owner_read);  // PostgreSQL insists
    tests::detail::give_to(user, key());
    folder_.write("hba", "hostssl all all 127.0.0.1/32 trust\n");
  }

  [[nodiscard]] std::string key() const { return folder_ / "key"; }
  [[nodiscard]] std::string certificate() const { return folder_ / "certificate"; }
  [[nodiscard]] tests::postgres_options server() const {
    return tests::postgres_options()
        .set("ssl=on")
        .set("ssl_cert_file=" + certificate())
        .set("ssl_key_file=" + key())
        .set("hba_file=" + (folder_ / "hba"));
  }

 private:
  const tests::own_folder folder_{tests::detail::server_files()};
};

class PostgresTls : public ::testing::Test {
 protected:
  void SetUp() override {
    CURFEW_NEEDS_PROGRAMS("postgres", "initdb", "psql", "openssl");
    proof_ = std::make_unique<identity>();
    server_ = std::make_unique<tests::postgres_server>(proof_->server());
  }

  [[nodiscard]] std::string url(const std::string& mode = "verify-full") const {
    return server_->url() + "?sslmode=" + mode + "&sslrootcert=" + proof_->certificate();
  }
  std::string active() {
    return server_->ask_for(
        "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and "
        "backend_type = 'client backend'");
  }
  bool gets_quiet() {
    return tests::eventually([this] { return active() == "0"; });
  }
  /// Ends it when the server works.
  std::jthread cancel_when_active(cancel_scope& scope) {
    return std::jthread([this, &scope] {
      EXPECT_TRUE(tests::eventually([this] { return active() == "1"; }));
      scope.cancel();
    });
  }

  std::unique_ptr<identity> proof_;
  std::unique_ptr<tests::postgres_server> server_;
  /// Against hangs alone.
  const cancel_scope patience = with_timeout(background(), tests::program_patience);
};

TEST_F(PostgresTls, IsAskedFor) {
  pool db(url());
  auto found = db.query(patience, "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()");
  ASSERT_TRUE(found) << found.error();
  EXPECT_TRUE((*found)[0].get<bool>(0));
  EXPECT_TRUE((*found)[0].get<std::string>(1).starts_with("TLS")) << (*found)[0].get<std::string>(1);
  const identity other;
  pool wrong(server_->url() + "?sslmode=verify-full&sslrootcert=" + other.certificate());
  EXPECT_EQ(wrong.query(patience, "select 1").error(), errc::connection_failed) << "of another certificate";
  pool plain(url("disable"));
  EXPECT_EQ(plain.query(patience, "select 1").error(), errc::not_allowed) << "without encryption";
}

TEST_F(PostgresTls, AQueryEndsInTheServerWithItsContext) {
  pool db(url(), pool_options().size(1).grace(tests::program_patience));
  for (const bool in_coroutine : {false, true}) {
    auto scope = with_cancel(background());
    auto ends = cancel_when_active(scope);
    auto found = in_coroutine ? run_coroutine(db.async_query(scope.ctx(), "select pg_sleep(60)"))
                              : db.query(scope, "select pg_sleep(60)");
    ends.join();
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error(), curfew::errc::canceled) << found.error();
    auto next = db.query(patience, "select pg_backend_pid()");
    ASSERT_TRUE(next) << next.error();
    EXPECT_TRUE(gets_quiet());
  }
}

TEST_F(PostgresTls, KeepsTheConnectionWhoseQueryWasCanceled) {
  pool db(url(), pool_options().size(1).grace(tests::program_patience));
  const auto process = [&] {
    auto found = db.query(patience, "select pg_backend_pid()");
    return found ? (*found)[0].get<int>(0) : -1;
  };
  const int before = process();
  auto scope = with_cancel(background());
  auto ends = cancel_when_active(scope);
  EXPECT_EQ(db.query(scope, "select pg_sleep(60)").error(), curfew::errc::canceled);
  ends.join();
  EXPECT_EQ(process(), before) << "it was closed instead";
}

// The race: a cancel that comes when its query is over hits the next one.
TEST_F(PostgresTls, NoQueryIsHitByAnothersCancel) {
  pool db(url(), pool_options().size(1).grace(tests::program_patience));
  std::mt19937 random(testing::announce_seed("a statement that another one's cancel hits, over TLS"));
  const int rounds = tests::under_thread_sanitizer ? 100 : 400;
  int ended = 0;
  for (int number = 0; number != rounds; ++number) {
    const auto scope = with_timeout(background(), std::chrono::microseconds(random() % 5'000));
    auto found = db.query(scope, "select $1::int from pg_sleep(0.002)", number);
    if (found) {
      EXPECT_EQ((*found)[0].get<int>(0), number);
    } else {
      ++ended;
      EXPECT_EQ(found.error(), curfew::errc::deadline_exceeded) << found.error();
    }
    auto next = db.query(patience, "select $1::int", number);
    ASSERT_TRUE(next) << next.error();
    EXPECT_EQ((*next)[0].get<int>(0), number);
  }
  EXPECT_GT(ended, 0);
  EXPECT_TRUE(gets_quiet());
}

TEST_F(PostgresTls, MuchIsReadAndWritten) {
  pool db(url(), pool_options().size(1));
  ASSERT_TRUE(db.execute(patience, "create table items (id bigint, name text)"));
  auto into = db.copy_in(patience, "copy items from stdin");
  ASSERT_TRUE(into) << into.error();
  for (int id = 0; id != 2'000; ++id) {
    auto sent = into->write(patience, std::to_string(id) + '\t' + std::string(5'000, 'x') + '\n');
    ASSERT_TRUE(sent) << sent.error();
  }
  auto count = into->finish(patience);
  ASSERT_TRUE(count) << count.error();
  EXPECT_EQ(*count, 2'000U);
  for (const bool in_coroutine : {false, true}) {
    auto all = db.copy_out(patience, "copy items to stdout");
    ASSERT_TRUE(all) << all.error();
    std::size_t size = 0;
    for (;;) {
      auto some = in_coroutine ? run_coroutine(all->async_next(patience.ctx())) : all->next(patience);
      ASSERT_TRUE(some) << some.error();
      if (some->empty()) break;
      size += some->size();
    }
    EXPECT_EQ(size, 2'000 * 5'002 + 6'890);  // the digits
    auto rows_of = db.stream(patience, "select name from items");
    ASSERT_TRUE(rows_of) << rows_of.error();
    std::size_t names = 0;
    for (;;) {
      auto some = in_coroutine ? run_coroutine(rows_of->async_next(patience.ctx())) : rows_of->next(patience);
      ASSERT_TRUE(some) << some.error();
      if (some->empty()) break;
      names += some->size();
    }
    EXPECT_EQ(names, 2'000U);
  }
}

TEST_F(PostgresTls, AStreamAndACopyEndInTheMiddle) {
  pool db(url(), pool_options().size(1).grace(tests::program_patience));
  {
    auto all = db.stream(patience, "select generate_series(1, 1000000000)");
    ASSERT_TRUE(all) << all.error();
    ASSERT_TRUE(all->next(patience));
  }
  {
    auto all = db.copy_out(patience, "copy (select generate_series(1, 1000000000)) to stdout");
    ASSERT_TRUE(all) << all.error();
    ASSERT_TRUE(all->next(patience));
  }
  auto next = db.query(patience, "select 1");
  EXPECT_TRUE(next) << next.error();
  EXPECT_TRUE(gets_quiet());
}

}  // namespace
}  // namespace curfew::sql
