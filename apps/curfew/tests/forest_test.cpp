#include "forest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <list>
#include <string>
#include <vector>

namespace curfew_program {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// Tasks of several processes, for which each test says what it needs.
struct grove {
  std::list<task> owned;
  std::vector<placed_task> placed;
  std::vector<std::string> names{"shop 1", "disk 2"};

  task& add(const std::string& id, const std::string& parent = "", std::size_t process = 0) {
    auto& made = owned.emplace_back();
    made.id = id;
    made.parent = parent;
    made.kind = "work";
    made.name = id;
    made.age_ms = static_cast<double>(1000 - placed.size());  // the earlier ones are older
    placed.push_back({&made, process, 0});
    return made;
  }

  [[nodiscard]] std::vector<std::string> lines(const arrangement& how = {}) const {
    std::vector<std::string> made;
    for (const auto& each : arrange(placed, how, names)) made.push_back(each.branch + each.of.task->id);
    return made;
  }
};

void tell(task& one, double ago_ms, double cpu_ms = 0) {
  one.state = ago_ms > 250 ? state::zombie : state::told;
  one.told = {"canceled", "client gone", ago_ms, cpu_ms};
}

TEST(Arrange, ChildrenStandBelowTheirParents) {
  grove g;
  g.add("a");
  g.add("b", "a");
  g.add("c", "b");
  g.add("d", "a");
  g.add("e");
  EXPECT_THAT(g.lines(), ElementsAre("a", "├─b", "│ └─c", "└─d", "e"));
}

TEST(Arrange, JoinsTheTasksOfAllProcessesById) {
  grove g;
  g.add("request in disk", "call", 1);
  g.add("request");
  g.add("call", "request");
  EXPECT_THAT(g.lines(), ElementsAre("request", "└─call", "  └─request in disk"));
}

TEST(Arrange, ATreeStandsWhereItsMostUrgentTaskBelongs) {
  grove g;
  g.add("calm");
  g.add("parent");
  tell(g.add("zombie", "parent"), 900);
  tell(g.add("worse"), 5000);
  tell(g.add("told"), 100);
  EXPECT_THAT(g.lines(), ElementsAre("worse", "parent", "└─zombie", "told", "calm"));
}

TEST(Arrange, AParentThatIsNotThereMakesARoot) {
  grove g;
  g.add("a", "gone");
  EXPECT_THAT(g.lines(), ElementsAre("a"));
}

TEST(Arrange, ACircleOfParentsIsCut) {
  grove g;
  g.add("a", "c");
  g.add("b", "a");
  g.add("c", "b");
  g.add("self", "self");
  EXPECT_EQ(g.lines().size(), 4U);
}

TEST(Arrange, AChainOfAnyLengthNeedsNoStackAndLittleRoom) {
  grove g;
  g.add("0");
  for (int i = 1; i < 20'000; ++i) g.add(std::to_string(i), std::to_string(i - 1));
  const auto lines = g.lines();
  EXPECT_EQ(lines.size(), 20'000U);
  EXPECT_LT(lines.back().size(), 300U);
}

TEST(Arrange, AFilterKeepsTheWayDown) {
  grove g;
  g.add("parent");
  g.add("needle", "parent");
  g.add("other", "parent");
  arrangement how;
  how.filter = "needle";
  const auto rows = arrange(g.placed, how, g.names);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_FALSE(rows[0].matches);
  EXPECT_TRUE(rows[1].matches);
  how.filter = "disk";
  EXPECT_THAT(g.lines(how), IsEmpty());
}

TEST(Arrange, AListHasNoTreesAndTheOrderAskedFor) {
  grove g;
  g.add("old").cpu_ms = 1;
  g.add("busy", "old").cpu_ms = 50;
  tell(g.add("nobody"), 100, 20);
  arrangement how;
  how.tree = false;
  EXPECT_THAT(g.lines(how), ElementsAre("nobody", "old", "busy"));
  how.by = order::cpu;
  EXPECT_THAT(g.lines(how), ElementsAre("busy", "old", "nobody"));
  how.by = order::for_nobody;
  EXPECT_EQ(g.lines(how).front(), "nobody");
  how.by = order::age;
  EXPECT_THAT(g.lines(how), ElementsAre("old", "busy", "nobody"));
}

TEST(Arrange, LeastTimeLeftComesFirst) {
  grove g;
  g.add("none");
  g.add("much").remaining_ms = 5000;
  g.add("little").remaining_ms = 10;
  tell(g.add("over"), 50);
  arrangement how;
  how.by = order::left;
  EXPECT_THAT(g.lines(how), ElementsAre("over", "little", "much", "none"));
}

TEST(Family, IsTheWayDownAndAllBelow) {
  grove g;
  g.add("root");
  g.add("brother", "root");
  g.add("it", "root");
  g.add("child", "it");
  g.add("stranger");
  std::vector<std::string> made;
  for (const auto& each : family(g.placed, "it")) made.push_back(each.branch + each.of.task->id);
  EXPECT_THAT(made, ElementsAre("root", "└─it", "  └─child"));
  EXPECT_THAT(family(g.placed, "nobody"), IsEmpty());
}

}  // namespace
}  // namespace curfew_program
