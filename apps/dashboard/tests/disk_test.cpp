#include "services/disk/disk.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <filesystem>
#include <string>

#include "base/text.hpp"
#include "services/disk/duplicates.hpp"
#include "services/disk/walk.hpp"
#include "temporary_tree.hpp"

namespace curfew_dashboard {
namespace {

using tests::temporary_tree;

const report_progress silent = [](const progress&) {};
const directory_visitor unseen = [](const walk_totals&, const std::string&) {};
const compare_visitor uncompared = [](double, const std::function<std::string()>&) {};

json::object report_on(const std::string& root) {
  auto made = disk_report(curfew::background(), root, silent);
  return made ? made->as_object() : json::object{{"error", made.error().message}};
}

TEST(WalkTree, CountsFilesAndHardLinksOnce) {
  const temporary_tree tree;
  tree.write("a", "12345");
  tree.write("deep/down/b", "123");
  std::filesystem::create_hard_link(tree.path("a"), tree.path("deep/same as a"));
  const auto found = walk_tree(curfew::background(), tree.root(), unseen);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->totals.files, 2U);
  EXPECT_EQ(found->totals.bytes, 8U);
  EXPECT_EQ(found->totals.hard_links, 1U);
  EXPECT_EQ(found->totals.directories, 3U);
  EXPECT_EQ(found->totals.unreadable, 0U);
}

TEST(WalkTree, FollowsNoSymbolicLinkAndOpensNoPipe) {
  const temporary_tree tree;
  tree.write("a", "12345");
  std::filesystem::create_directory_symlink("/usr", tree.path("everything"));
  std::filesystem::create_directory_symlink(tree.root(), tree.path("circle"));
  std::filesystem::create_symlink("a", tree.path("another a"));
  ASSERT_EQ(::mkfifo(tree.path("pipe").c_str(), 0600), 0);
  const auto found = walk_tree(curfew::background(), tree.root(), unseen);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->totals.files, 1U);
  EXPECT_EQ(found->totals.directories, 1U);
}

TEST(WalkTree, StartsAtASymbolicLinkThatSomebodyNamed) {
  const temporary_tree tree;
  tree.write("real/a", "12345");
  std::filesystem::create_directory_symlink(tree.path("real"), tree.path("link"));
  const auto found = walk_tree(curfew::background(), tree.path("link"), unseen);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->totals.files, 1U);
}

TEST(WalkTree, PassesOverWhatItMayNotRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "nothing is unreadable for root";
  const temporary_tree tree;
  tree.write("closed/a", "12345");
  tree.write("open/b", "1");
  std::filesystem::permissions(tree.path("closed"), std::filesystem::perms::none);
  const auto found = walk_tree(curfew::background(), tree.root(), unseen);
  std::filesystem::permissions(tree.path("closed"), std::filesystem::perms::owner_all);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->totals.files, 1U);
  EXPECT_EQ(found->totals.unreadable, 1U);
}

TEST(WalkTree, CountsADirectoryThatVanishesAsUnreadable) {
  const temporary_tree tree;
  tree.write("here/a", "1");
  tree.write("there/b", "1");
  int entered = 0;
  const directory_visitor remove_the_others = [&](const walk_totals&, const std::string& directory) {
    if (++entered != 2) return;
    for (const char* name : {"here", "there"}) {
      if (directory != tree.path(name)) std::filesystem::remove_all(tree.path(name));
    }
  };
  const auto found = walk_tree(curfew::background(), tree.root(), remove_the_others);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->totals.files, 1U);
  EXPECT_EQ(found->totals.unreadable, 1U);
}

TEST(WalkTree, SaysWhichRootCannotBeOpened) {
  const temporary_tree tree;
  tree.write("file", "1");
  const auto missing = walk_tree(curfew::background(), tree.path("nowhere"), unseen);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, "unavailable");
  EXPECT_EQ(missing.error().message, tree.path("nowhere") + ": No such file or directory");
  const auto file = walk_tree(curfew::background(), tree.path("file"), unseen);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().message, tree.path("file") + ": Not a directory");
}

TEST(WalkTree, StopsWhereItIsWhenTheContextEnds) {
  const temporary_tree tree;
  for (int i = 0; i < 50; ++i) tree.write("d" + std::to_string(i) + "/file", "x");
  auto scope = curfew::with_cancel(curfew::background());
  int entered = 0;
  const directory_visitor leave_at_the_third = [&](const walk_totals&, const std::string&) {
    if (++entered == 3) scope.cancel("enough");
  };
  const auto found = walk_tree(scope, tree.root(), leave_at_the_third);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, "canceled");
  EXPECT_EQ(entered, 3);
}

std::expected<duplicate_report, failure> duplicates_in(const curfew::context& ctx, const std::string& root,
                                                       const compare_visitor& compared = uncompared) {
  return find_duplicates(ctx, walk_tree(curfew::without_cancel(ctx), root, unseen)->files, compared);
}

TEST(FindDuplicates, GroupsByWholeContent) {
  const temporary_tree tree;
  const std::string begin(5000, 'x');
  tree.write("small 1", "same");
  tree.write("small 2", "same");
  tree.write("small 3", "diff");
  tree.write("large 1", begin + "A");
  tree.write("large 2", begin + "B");  // the first 4 KiB are alike
  tree.write("large 3", begin + "A");
  tree.write("empty 1", "");
  tree.write("empty 2", "");
  const auto found = duplicates_in(curfew::background(), tree.root());
  ASSERT_TRUE(found);
  ASSERT_EQ(found->groups.size(), 2U);
  EXPECT_EQ(found->groups[0].paths, (std::vector{tree.path("large 1"), tree.path("large 3")}));
  EXPECT_EQ(found->groups[0].wasted(), 5001U);
  EXPECT_EQ(found->groups[1].paths, (std::vector{tree.path("small 1"), tree.path("small 2")}));
  EXPECT_EQ(found->unreadable, 0U);
}

TEST(FindDuplicates, PassesOverFilesThatChangedSinceTheWalk) {
  const temporary_tree tree;
  tree.write("a", "same");
  tree.write("b", "same");
  tree.write("c", "same");
  auto walked = walk_tree(curfew::background(), tree.root(), unseen);
  std::filesystem::remove(tree.path("b"));
  ASSERT_EQ(::mkfifo(tree.path("b").c_str(), 0600), 0);  // reading it would wait for ever
  const auto found = find_duplicates(curfew::background(), std::move(walked->files), uncompared);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->groups.size(), 1U);
  EXPECT_EQ(found->groups[0].paths.size(), 2U);
  EXPECT_EQ(found->unreadable, 1U);
}

TEST(FindDuplicates, StopsWithinAFileWhenTheContextEnds) {
  const temporary_tree tree;
  const std::string large(4'000'000, 'x');
  tree.write("a", large);
  tree.write("b", large);
  auto scope = curfew::with_cancel(curfew::background());
  int chunks = 0;
  const compare_visitor leave_at_the_fifth = [&](double, const std::function<std::string()>&) {
    if (++chunks == 5) scope.cancel("enough");
  };
  const auto found = duplicates_in(scope, tree.root(), leave_at_the_fifth);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, "canceled");
  EXPECT_EQ(chunks, 5);
}

TEST(FindDuplicates, TellsAFractionThatGrowsToOne) {
  const temporary_tree tree;
  const std::string large(400'000, 'x');
  for (const char* name : {"a", "b", "c"}) tree.write(name, large);
  double last = 0;
  bool grows = true;
  const compare_visitor watch = [&](double fraction, const std::function<std::string()>&) {
    grows = grows && fraction >= last;
    last = fraction;
  };
  ASSERT_TRUE(duplicates_in(curfew::background(), tree.root(), watch));
  EXPECT_TRUE(grows);
  EXPECT_DOUBLE_EQ(last, 1.0);
}

TEST(DiskReport, HasTheShapeOfTheContract) {
  const temporary_tree tree;
  tree.write("a", "same");
  tree.write("b", "same");
  tree.write("c", "longer");
  const json::object report = report_on(tree.root());
  EXPECT_EQ(report.at("root").as_string(), tree.root());
  EXPECT_EQ(report.at("files"), 3);
  EXPECT_EQ(report.at("bytes"), 14);
  EXPECT_EQ(report.at("largest").at(0).at("path").as_string(), tree.path("c"));
  EXPECT_EQ(report.at("largest").at(0).at("bytes"), 6);
  EXPECT_EQ(report.at("duplicate_groups"), 1);
  EXPECT_EQ(report.at("wasted_bytes"), 4);
  const json::value& group = report.at("duplicates").at(0);
  EXPECT_EQ(group.at("count"), 2);
  EXPECT_EQ(group.at("hash").as_string().size(), 32U);
  EXPECT_EQ(group.at("paths").at(1).at("path").as_string(), tree.path("b"));
}

TEST(DiskReport, ShowsNamesOfAnyBytesAsValidText) {
  const temporary_tree tree;
  const std::string names[] = {"<img src=x onerror=alert(1)>", "new\nline", "broken\xFF\xC3"};
  for (const std::string& name : names) tree.write(name, name);
  const json::object report = report_on(tree.root());
  const std::string text = json::serialize(report);
  EXPECT_FALSE(to_utf8(text).lossy);
  int lossy = 0;
  for (const json::value& file : report.at("largest").as_array()) {
    const std::string path(file.at("path").as_string());
    const bool is_lossy = file.as_object().contains("name_is_lossy");
    lossy += is_lossy ? 1 : 0;
    EXPECT_EQ(path == tree.path("broken\uFFFD\uFFFD"), is_lossy);
    EXPECT_TRUE(is_lossy || path == tree.path(names[0]) || path == tree.path(names[1])) << path;
  }
  EXPECT_EQ(lossy, 1);
}

TEST(PlanDisk, TakesTheRootsItWasStartedWithAndNoOther) {
  const temporary_tree tree;
  const work_planner plan = plan_disk({tree.root(), "/usr"});
  EXPECT_TRUE(plan(http::request("GET", "/report")));
  EXPECT_TRUE(plan(http::request("GET", "/report?root=%2Fusr")));
  for (const char* target :
       {"/report?root=/etc", "/report?root=/usr/", "/report?root=/usr/../etc", "/report?root="}) {
    const auto planned = plan(http::request("GET", target));
    ASSERT_FALSE(planned) << target;
    EXPECT_EQ(planned.error().status, http::status::forbidden);
  }
}

}  // namespace
}  // namespace curfew_dashboard
