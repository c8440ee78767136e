#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/http/client.hpp>
#include <filesystem>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "redis.hpp"
#include "temporary_tree.hpp"
#include "workers/ask_workers.hpp"
#include "workers/disk_workers.hpp"

namespace curfew_dashboard {
namespace {

using curfew::tests::program;
using curfew::tests::redis_server;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using tests::temporary_tree;
using job_codec = curfew::remote::codec<disk_job>;
using answer_codec = curfew::remote::codec<disk_answer>;

template <class F>
bool eventually(F holds) {
  return curfew::tests::detail::wait_for(holds);
}

/// The dashboard's program, with both of its outputs in one.
std::vector<std::string> dashboard(std::vector<std::string> arguments) {
  const auto tests = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  std::vector<std::string> command{"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1",
                                   tests.parent_path() / "apps/dashboard/curfew-dashboard"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::string line_with(program& of, const std::string& text) {
  for (;;) {
    std::string line = of.read_line();
    if (line.find(text) != std::string::npos) return line;
  }
}

/// Files that take no room on the disk, and minutes to compare.
void make_slow(const temporary_tree& tree) {
  for (int i = 0; i < 8; ++i) {
    const std::string at = tree.write("big" + std::to_string(i), "");
    std::filesystem::resize_file(at, std::uintmax_t{4} << 30U);
  }
}

class Workers : public ::testing::Test {
 protected:
  void SetUp() override { CURFEW_NEEDS_PROGRAMS("redis-server"); }

  std::vector<std::string> worker_of(const redis_server& server) {
    return dashboard({"worker", "--redis", server.url(), "--root", tree_.root()});
  }

  /// The report that a panel asks for. `told` gets the texts of its progress.
  std::expected<json::value, failure> ask(const curfew::context& ctx, const redis_server& server,
                                          const std::string& root) {
    http::request request("GET", "/report");
    request.set("Request-Id", "b408fe1d61973705");
    auto workers = std::make_shared<disk_workers>(server.url());
    const auto work = plan_disk_on_workers({root}, workers)(request).value();
    return work.run(ctx, [this](const progress& p) {
      const std::lock_guard guard(mutex_);
      told_.push_back(p.text);
    });
  }
  bool was_told(const std::string& text) {
    const std::lock_guard guard(mutex_);
    return std::ranges::any_of(told_, [&](const auto& each) { return each.find(text) != std::string::npos; });
  }

  temporary_tree tree_;
  std::mutex mutex_;
  std::vector<std::string> told_;
};

TEST(DiskJob, IsReadAsItWasWritten) {
  const auto read = job_codec::read(job_codec::write({"/a\n\xff", "b408", "/report?root=%00", ""}));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->root, "/a\n\xff");
  EXPECT_EQ(read->parent, "b408");
  EXPECT_EQ(read->target, "/report?root=%00");
  EXPECT_EQ(read->channel, "");
  EXPECT_FALSE(job_codec::read("/usr"));
  EXPECT_FALSE(job_codec::read(std::string(4, '\0')));
}

TEST(DiskAnswer, IsReadAsItWasWritten) {
  const auto report = answer_codec::read(answer_codec::write({json::object{{"files", 3}}}));
  EXPECT_EQ(report.value().report.value().at("files"), 3);
  const auto failed = answer_codec::read(answer_codec::write({std::unexpected(failure{"internal", "why"})}));
  EXPECT_EQ(failed.value().report.error().code, "internal");
  EXPECT_EQ(failed.value().report.error().message, "why");
  for (const char* text : {"", "{}", R"({"type":"progress","text":""})", R"({"type":"error","code":1})"})
    EXPECT_FALSE(answer_codec::read(text)) << text;
}

TEST(DiskProgress, IsReadAsItWasWritten) {
  progress written{0.25, "half of a half", {}};
  written.more["phase"] = "walk";
  const auto read = read_progress_line(progress_line(written));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->fraction, 0.25);
  EXPECT_EQ(read->text, "half of a half");
  EXPECT_EQ(read->more, written.more);
  EXPECT_EQ(read_progress_line(progress_line({std::nullopt, "", {}}))->fraction, std::nullopt);
  EXPECT_FALSE(read_progress_line(error_line({"internal", "why"})));
  EXPECT_FALSE(read_progress_line("garbage"));
}

TEST_F(Workers, MakeTheReportsOfTheirDirectories) {
  const redis_server server;
  tree_.write("a", "12345");
  tree_.write("b", "12345");
  program worker(worker_of(server));
  const auto made = ask(curfew::background(), server, tree_.root());
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->at("files"), 2);
  EXPECT_EQ(made->at("duplicate_groups"), 1);
  EXPECT_THAT(line_with(worker, "began"), EndsWith("began " + tree_.root()));
  EXPECT_THAT(line_with(worker, "done"), EndsWith("done with " + tree_.root()));
  worker.kill(SIGTERM);
  worker.read_all();
  EXPECT_EQ(worker.wait(), 0);
}

TEST_F(Workers, MakeNoReportsOfOtherDirectories) {
  const redis_server server;
  const program worker(worker_of(server));
  const auto made = ask(curfew::background(), server, "/usr");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, "unavailable");
  EXPECT_THAT(made.error().message, AllOf(StartsWith("The worker "), HasSubstr("no reports of /usr")));
}

TEST_F(Workers, StopWhenNobodyWaitsForTheReport) {
  const redis_server server;
  make_slow(tree_);
  program worker(worker_of(server));
  auto scope = curfew::with_cancel(curfew::background());
  auto asking =
      std::async(std::launch::async, [&] { return ask(scope.ctx(), server, tree_.root()).has_value(); });
  line_with(worker, "began");
  EXPECT_TRUE(eventually([&] { return was_told(" of 32 GiB"); }));
  EXPECT_TRUE(was_told("has begun"));
  scope.cancel("Refresh");
  EXPECT_THAT(line_with(worker, "stopped"), EndsWith("stopped " + tree_.root() + ": Refresh"));
  EXPECT_FALSE(asking.get());
}

TEST_F(Workers, StopWhenTheServiceThatWaitsIsKilled) {
  const redis_server server;
  make_slow(tree_);
  program worker(worker_of(server));
  program service(dashboard({"service", "disk", "--workers", server.url(), "--root", tree_.root()}));
  const std::string url = line_with(service, "http://").substr(std::string("listening on ").size());
  http::client client;
  const auto opened = client.open(curfew::background(), http::request("GET", url + "/report"));
  ASSERT_TRUE(opened);
  line_with(worker, "began");
  service.kill(SIGKILL);
  EXPECT_THAT(line_with(worker, "stopped"), EndsWith(": the origin is lost"));
}

TEST_F(Workers, PublishTheirRequests) {
  const redis_server server;
  make_slow(tree_);
  curfew::redis::client client(server.url());
  auto heard = client.subscribe(curfew::background(), {workers_channel}).value();
  program worker(worker_of(server));
  auto scope = curfew::with_cancel(curfew::background());
  auto asking =
      std::async(std::launch::async, [&] { return ask(scope.ctx(), server, tree_.root()).has_value(); });
  const auto limit = curfew::with_timeout(curfew::background(), curfew::tests::program_patience);
  json::object snapshot;
  do {
    snapshot = json::parse(heard.next(limit.ctx()).value().payload).as_object();
  } while (snapshot.at("requests").as_array().empty());
  EXPECT_THAT(std::string(snapshot.at("service").as_string()), StartsWith(worker_prefix));
  EXPECT_EQ(snapshot.at("boot_id"), json::value(boot_id()));
  const json::object& request = snapshot.at("requests").at(0).as_object();
  EXPECT_EQ(request.at("parent"), "b408fe1d61973705");
  EXPECT_EQ(request.at("target"), "/report");
  EXPECT_EQ(request.at("state"), "running");
  scope.cancel();
  EXPECT_FALSE(asking.get());
  do {
    snapshot = json::parse(heard.next(limit.ctx()).value().payload).as_object();
  } while (!snapshot.at("requests").as_array().empty());
  EXPECT_EQ(snapshot.at("recent").at(0).at("state"), "ended by client");
}

TEST_F(Workers, AreWaitedFor) {
  const redis_server server;
  tree_.write("a", "1");
  auto asking = std::async(std::launch::async,
                           [&] { return ask(curfew::background(), server, tree_.root()).has_value(); });
  EXPECT_TRUE(eventually([&] { return was_told("No worker is there"); }));
  const program worker(worker_of(server));
  EXPECT_TRUE(asking.get());
}

TEST_F(Workers, CannotBeAskedWhereRedisIsAway) {
  redis_server server;
  server.stop();
  const auto made = ask(curfew::background(), server, tree_.root());
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, "unreachable");
  EXPECT_THAT(made.error().message, StartsWith("Redis, where the workers get their jobs, does not answer"));
}

}  // namespace
}  // namespace curfew_dashboard
