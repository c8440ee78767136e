// The server opened by Chromium.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <curfew/http/errc.hpp>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "peers/own_server.hpp"
#include "program.hpp"

namespace curfew::http {
namespace {

using tests::find_program;
using tests::own_server;
using tests::program;

#define CURFEW_NEEDS_CHROMIUM CURFEW_NEEDS_PROGRAMS("node", "chromium", "e2e/node_modules/playwright-core")

/// A browser of its own, driven by chromium.mjs.
class chromium : public program {
 public:
  explicit chromium(std::vector<std::string> arguments)
      : program(command(std::move(arguments)), nullptr, {"CURFEW_CHROMIUM=" + find_program("chromium")}) {}

 private:
  static std::vector<std::string> command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {find_program("node"), find_program("chromium.mjs")});
    return arguments;
  }
};

TEST(Chromium, KeepsItsConnection) {
  CURFEW_NEEDS_CHROMIUM;
  const own_server server;
  EXPECT_EQ(chromium({"keep", server.url("")}).read_all(), "ok\n");
}

TEST(Chromium, ReadsTheEarlyAnswerToAnUpload) {
  CURFEW_NEEDS_CHROMIUM;
  const own_server server;
  EXPECT_EQ(chromium({"refused", server.url("")}).read_all(), "ok\n");
}

struct left {
  const char* name;
  const char* begin;  // by a "call" of the page, or to "open" a page
  const char* path;
  const char* how;
};

void PrintTo(const left& l, std::ostream* out) { *out << l.name; }

class ChromiumThatLeaves : public ::testing::TestWithParam<left> {};

TEST_P(ChromiumThatLeaves, EndsTheContext) {
  CURFEW_NEEDS_CHROMIUM;
  own_server server;
  chromium browser({"leave", GetParam().begin, GetParam().path, GetParam().how, server.url("")});
  ASSERT_TRUE(server.has_begun());
  browser.write("now\n");
  EXPECT_EQ(server.end(), errc::client_gone);
  EXPECT_EQ(browser.read_all(), "ok\n");
}

INSTANTIATE_TEST_SUITE_P(
    By, ChromiumThatLeaves,
    ::testing::Values(left{"ReloadWhileAHandlerRuns", "call", "/wait", "reload"},
                      left{"ReloadOfAPageThatIsNotWhole", "open", "/hold", "reload"},
                      left{"ReloadWhileADownloadPauses", "call", "/hold", "reload"},
                      left{"NavigationWhileAHandlerRuns", "open", "/wait", "navigate"},
                      left{"NavigationWhileADownloadIsHeldBack", "call", "/endless", "navigate"},
                      left{"NavigationFromAPageThatComes", "open", "/endless", "navigate"},
                      left{"ClosingWhileADownloadIsHeldBack", "call", "/endless", "close"},
                      left{"AbortOfACall", "call", "/wait", "abort"}),
    [](const auto& of) { return std::string(of.param.name); });

}  // namespace
}  // namespace curfew::http
