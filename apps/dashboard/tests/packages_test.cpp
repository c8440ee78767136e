#include "services/packages/packages.hpp"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "postgres.hpp"
#include "services/packages/package_database.hpp"
#include "services/packages/package_library.hpp"
#include "temporary_tree.hpp"

namespace curfew_dashboard {
namespace {

using tests::temporary_tree;

const report_progress silent = [](const progress&) {};

installed_package package(std::string name, std::uint64_t kib,
                          std::vector<std::vector<std::string>> depends = {},
                          std::vector<std::string> provides = {}) {
  installed_package made;
  made.description = "The " + name + " package, 100% free";
  made.name = std::move(name);
  made.version = "1";
  made.section = "misc";
  made.size_bytes = kib * 1024;
  made.depends = std::move(depends);
  made.provides = std::move(provides);
  return made;
}

/// shell needs libc; mailer needs any "mta", which postfix provides; postfix needs libc and ssl, which need
/// each other's company: ssl needs libc. Nothing needs shell and mailer.
std::vector<installed_package> small_system() {
  return {package("libc", 100), package("ssl", 50, {{"libc"}}),
          package("postfix", 20, {{"libc"}, {"ssl"}}, {"mta"}), package("mailer", 5, {{"mta", "absent"}}),
          package("shell", 10, {{"libc"}, {"absent"}})};
}

std::shared_ptr<package_database> database_of(const std::vector<installed_package>& packages,
                                              const std::string& url = {}) {
  auto made = package_database::make(curfew::background(), packages, url);
  if (!made) throw std::runtime_error(made.error().message());
  return *std::move(made);
}

json::value report_of(package_database& from, const std::string& query = {}) {
  auto made = package_report(curfew::background(), from, query, silent);
  return made ? *made : json::value(made.error().message);
}

json::value report_on(const std::vector<installed_package>& packages, const std::string& query = {}) {
  return report_of(*database_of(packages), query);
}

const json::value* row_of(const json::value& report, const char* list, std::string_view name) {
  for (const json::value& row : report.at(list).as_array()) {
    if (row.at("name").as_string() == name) return &row;
  }
  return nullptr;
}

TEST(PackageReport, FollowsDependenciesThroughWhatIsProvided) {
  const json::value report = report_on(small_system());
  EXPECT_EQ(report.at("packages"), 5);
  EXPECT_EQ(report.at("dependencies"), 5);
  EXPECT_EQ(report.at("size_bytes"), 185 * 1024);
  const json::value* mailer = row_of(report, "heaviest", "mailer");
  ASSERT_NE(mailer, nullptr);
  EXPECT_EQ(mailer->at("closure_packages"), 4);
  EXPECT_EQ(mailer->at("closure_size_bytes"), 175 * 1024);
  EXPECT_EQ(report.at("heaviest").at(0).at("name"), "mailer");
}

TEST(PackageReport, KnowsWhatNothingElseWouldNeed) {
  const json::value report = report_on(small_system());
  const json::value* mailer = row_of(report, "freeing", "mailer");
  ASSERT_NE(mailer, nullptr);
  EXPECT_EQ(mailer->at("freed_packages"), 3);  // itself, postfix, ssl; the shell keeps libc
  EXPECT_EQ(mailer->at("freed_size_bytes"), 75 * 1024);
  const json::value* shell = row_of(report, "freeing", "shell");
  ASSERT_NE(shell, nullptr);
  EXPECT_EQ(shell->at("freed_packages"), 1);
  EXPECT_EQ(report.at("freeing").at(0).at("name"), "libc");
}

TEST(PackageReport, ManagesCircles) {
  const json::value report =
      report_on({package("a", 1, {{"b"}}), package("b", 2, {{"a"}}), package("c", 4, {{"a"}, {"c"}})});
  EXPECT_EQ(row_of(report, "heaviest", "a")->at("closure_packages"), 2);
  EXPECT_EQ(row_of(report, "heaviest", "c")->at("closure_size_bytes"), 7 * 1024);
}

TEST(PackageReport, SumsSections) {
  auto packages = small_system();
  packages[0].section = "libs";
  const json::value report = report_on(packages);
  EXPECT_EQ(report.at("sections").at(0).at("section"), "libs");
  EXPECT_EQ(report.at("sections").at(1).at("packages"), 4);
  EXPECT_EQ(report.at("sections").at(1).at("size_bytes"), 85 * 1024);
}

TEST(PackageReport, SearchesNamesAndDescriptionsLiterally) {
  EXPECT_EQ(report_on(small_system(), "mail").at("found_total"), 1);
  EXPECT_EQ(report_on(small_system(), "100% free").at("found_total"), 5);
  EXPECT_EQ(report_on(small_system(), "100_ free").at("found_total"), 0);
  EXPECT_EQ(report_on(small_system(), "\\").at("found_total"), 0);
  EXPECT_EQ(report_on(small_system(), "' or 1=1 --").at("found_total"), 0);
  EXPECT_EQ(report_on(small_system(), "ssl").at("found").at(0).at("name"), "ssl");
  EXPECT_TRUE(report_on(small_system()).at("found").as_array().empty());
}

TEST(PackageReport, ShowsFiftyFindingsAtMost) {
  std::vector<installed_package> many;
  for (int i = 0; i < 80; ++i) many.push_back(package("lib" + std::to_string(i), 1));
  const json::value report = report_on(many, "lib");
  EXPECT_EQ(report.at("found_total"), 80);
  EXPECT_EQ(report.at("found").as_array().size(), 50U);
}

TEST(PackageReport, StopsWhenTheContextEnds) {
  const auto database = database_of(small_system());
  auto scope = curfew::with_cancel(curfew::background());
  const report_progress leave = [&](const progress&) { scope.cancel("enough"); };
  const auto report = package_report(scope, *database, "mail", leave);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, "canceled");
}

TEST(PackageDatabase, LeavesNothingBehind) {
  const temporary_tree temporary;
  ASSERT_EQ(::setenv("TMPDIR", temporary.root().c_str(), 1), 0);
  {
    const auto database = database_of(small_system());
    EXPECT_FALSE(std::filesystem::is_empty(temporary.root()));
    EXPECT_TRUE(package_report(curfew::background(), *database, "", silent));
  }
  ::unsetenv("TMPDIR");
  EXPECT_TRUE(std::filesystem::is_empty(temporary.root()));
}

TEST(PackageDatabase, IsReadBySeveralAtATime) {
  const auto database = database_of(small_system());
  std::vector<sql::transaction> readers;
  for (int i = 0; i != 10; ++i) {
    auto reading = database->read(curfew::background());
    ASSERT_TRUE(reading) << reading.error();
    auto found = reading->query(curfew::background(), "select count(*) from curfew_package");
    ASSERT_TRUE(found) << found.error();
    EXPECT_EQ((*found)[0].get<int>(0), 5);
    readers.push_back(*std::move(reading));
  }
}

TEST(PackageDatabase, IsNotChangedByAReader) {
  const auto database = database_of(small_system());
  auto reading = database->read(curfew::background());
  ASSERT_TRUE(reading) << reading.error();
  const auto refused = reading->execute(curfew::background(), "delete from curfew_package");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), sql::errc::read_only);
}

TEST(PackageDatabase, ReplacesTheTablesThatAreThere) {
  const temporary_tree temporary;
  const std::string url = "sqlite:" + temporary.path("packages.db");
  EXPECT_EQ(report_of(*database_of(small_system(), url)).at("packages"), 5);
  EXPECT_EQ(report_of(*database_of({package("a", 1)}, url)).at("packages"), 1);
}

TEST(PackagesInPostgresql, GiveTheSameReport) {
  CURFEW_NEEDS_PROGRAMS("postgres", "initdb", "psql");
  const auto here = database_of(small_system());
  const std::string url = curfew::tests::postgres_server::shared().new_database();
  std::ignore = database_of({package("a", 1)}, url);
  const auto there = database_of(small_system(), url);
  for (const char* query : {"", "mail", "MAIL", "100% free", "100_ free", "\\", "' or 1=1 --"}) {
    json::value expected = report_of(*here, query);
    json::value got = report_of(*there, query);
    for (json::value* each : {&expected, &got}) {
      ASSERT_TRUE(each->is_object()) << *each;
      each->as_object().erase("elapsed_ms");
    }
    EXPECT_EQ(got, expected) << query;
  }
}

TEST(PackagesInPostgresql, AreReadUntilTheContextEnds) {
  CURFEW_NEEDS_PROGRAMS("postgres", "initdb", "psql");
  const auto database = database_of(small_system(), curfew::tests::postgres_server::shared().new_database());
  auto scope = curfew::with_cancel(curfew::background());
  const report_progress leave = [&](const progress&) { scope.cancel("enough"); };
  const auto report = package_report(scope, *database, "mail", leave);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, "canceled");
  EXPECT_EQ(report_of(*database).at("packages"), 5);
}

TEST(PackagesInPostgresql, AreThereOnceTheServerIs) {
  CURFEW_NEEDS_PROGRAMS("postgres", "initdb", "psql");
  curfew::tests::postgres_server server;
  server.stop();
  const temporary_tree tree;
  package_library library(tree.write("status", "Package: a\nStatus: install ok installed\n"), server.url());
  const auto none = library.get(curfew::background());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, "unavailable");
  server.start();
  EXPECT_TRUE(curfew::tests::detail::wait_for([&] { return library.get(curfew::background()).has_value(); }));
}

TEST(PackageLibrary, SaysWhatIsMissing) {
  const temporary_tree tree;
  package_library missing(tree.path("status"));
  const auto none = missing.get(curfew::background());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, "unavailable");
  EXPECT_NE(none.error().message.find(tree.path("status") + ": No such file or directory"),
            std::string::npos);
  package_library empty(tree.write("empty", ""));
  EXPECT_EQ(empty.get(curfew::background()).error().message,
            tree.path("empty") + " lists no installed package.");
  package_library directory(tree.root());
  EXPECT_FALSE(directory.get(curfew::background()));
}

TEST(PackageLibrary, MakesTheDatabaseOnce) {
  const temporary_tree tree;
  package_library library(tree.write("status", "Package: a\nStatus: install ok installed\n"));
  const auto first = library.get(curfew::background());
  ASSERT_TRUE(first);
  EXPECT_EQ(*first, *library.get(curfew::background()));
}

TEST(PlanPackages, RefusesAnEndlessQuery) {
  const temporary_tree tree;
  const work_planner plan = plan_packages(std::make_shared<package_library>(tree.path("status")));
  EXPECT_TRUE(plan(http::request("GET", "/report?q=vim")));
  const auto refused = plan(http::request("GET", "/report?q=" + std::string(1000, 'x')));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, http::status::bad_request);
}

}  // namespace
}  // namespace curfew_dashboard
