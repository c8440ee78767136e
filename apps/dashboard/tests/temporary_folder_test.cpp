#include "base/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "temporary_tree.hpp"

namespace curfew_dashboard {
namespace {

using tests::temporary_tree;

class TemporaryFolder : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::setenv("TMPDIR", parent.root().c_str(), 1), 0); }
  void TearDown() override { ::unsetenv("TMPDIR"); }

  /// A folder that a process made which ended without a word.
  void abandon(const std::string& purpose) const {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const temporary_folder made(purpose);
      std::ofstream(made.path() / "file") << "content";
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
  }
  [[nodiscard]] long count() const {
    return std::distance(std::filesystem::directory_iterator(parent.root()), {});
  }

  const temporary_tree parent;
};

TEST_F(TemporaryFolder, IsRemovedWithWhatIsInIt) {
  std::filesystem::path path;
  {
    const temporary_folder made("purpose");
    path = made.path();
    std::ofstream(path / "file") << "content";
    EXPECT_TRUE(std::filesystem::exists(path / "file"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(TemporaryFolder, OfAProcessThatWasKilledIsRemovedByTheNext) {
  abandon("purpose");
  abandon("other");
  ASSERT_EQ(count(), 2);
  const temporary_folder next("purpose");
  EXPECT_EQ(count(), 2);  // this one, and the other purpose's
}

TEST_F(TemporaryFolder, OfALivingProcessStays) {
  const temporary_folder first("purpose");
  std::ofstream(first.path() / "file") << "content";
  const temporary_folder second("purpose");
  EXPECT_NE(first.path(), second.path());
  EXPECT_TRUE(std::filesystem::exists(first.path() / "file"));
}

}  // namespace
}  // namespace curfew_dashboard
