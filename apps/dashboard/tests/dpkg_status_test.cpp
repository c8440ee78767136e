#include "services/packages/dpkg_status.hpp"

#include <gtest/gtest.h>

namespace curfew_dashboard {
namespace {

using names = std::vector<std::string>;

TEST(DpkgStatus, ReadsWhatIsInstalled) {
  const auto packages = parse_dpkg_status(R"(Package: vim
Status: install ok installed
Installed-Size: 3650
Section: editors
Version: 2:9.0
Provides: editor, vim-python (= 9.0)
Depends: vim-common (= 2:9.0), libc6:any (>= 2.34) | libc6.1,
Pre-Depends: dpkg [amd64]
Description: Vi IMproved
 Vim is: an editor
Package: not a field, it goes on

Package: removed
Status: deinstall ok config-files

Status: install ok installed
Description: without a name
)");
  ASSERT_EQ(packages.size(), 1U);
  // The last of two fields of the same name wins, as for dpkg.
  EXPECT_EQ(packages[0].name, "not a field, it goes on");
  EXPECT_EQ(packages[0].version, "2:9.0");
  EXPECT_EQ(packages[0].section, "editors");
  EXPECT_EQ(packages[0].size_bytes, 3650U * 1024);
  EXPECT_EQ(packages[0].description, "Vi IMproved");
  EXPECT_EQ(packages[0].provides, (names{"editor", "vim-python"}));
  EXPECT_EQ(packages[0].depends, (std::vector<names>{{"vim-common"}, {"libc6", "libc6.1"}, {"dpkg"}}));
}

TEST(DpkgStatus, PassesOverWhatMakesNoSense) {
  EXPECT_TRUE(parse_dpkg_status("").empty());
  EXPECT_TRUE(parse_dpkg_status("\n\n\n\n").empty());
  EXPECT_TRUE(parse_dpkg_status(std::string(1000, '\xFF')).empty());
  const auto packages = parse_dpkg_status(
      "Package: a\xFF\nStatus: install ok installed\nInstalled-Size: 99999999999999999999\nDepends: ,,|,\n");
  ASSERT_EQ(packages.size(), 1U);
  EXPECT_EQ(packages[0].name, "a\uFFFD");
  EXPECT_TRUE(packages[0].depends.empty());
}

}  // namespace
}  // namespace curfew_dashboard
