// The server opened by Chromium.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <curfew/http/errc.hpp>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "peers/own_server.hpp"
#include "peers/tls.hpp"
#include "program.hpp"

namespace curfew::http {
namespace {

using tests::find_program;
using tests::own_server;
using tests::program;
using tests::test_tls;

#define CURFEW_NEEDS_CHROMIUM CURFEW_NEEDS_PROGRAMS("node", "chromium", "e2e/node_modules/playwright-core")

/// A browser of its own, driven by chromium.mjs.
class chromium : public program {
 public:
  explicit chromium(std::vector<std::string> arguments)
      : program(
            command(std::move(arguments)), nullptr,
            {"CURFEW_CHROMIUM=" + find_program("chromium"),
             "TRUSTED_KEY=" + test_tls::shared().server.key_pin().substr(std::string("sha256/").size())}) {}

 private:
  static std::vector<std::string> command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {find_program("node"), find_program("chromium.mjs")});
    return arguments;
  }
};

/// Over TLS?
class Chromium : public ::testing::TestWithParam<bool> {};

TEST_P(Chromium, KeepsItsConnection) {
  CURFEW_NEEDS_CHROMIUM;
  const own_server server(GetParam());
  EXPECT_EQ(chromium({"keep", server.url("")}).read_all(), "ok\n");
}

TEST_P(Chromium, ReadsTheEarlyAnswerToAnUpload) {
  CURFEW_NEEDS_CHROMIUM;
  const own_server server(GetParam());
  EXPECT_EQ(chromium({"refused", server.url("")}).read_all(), "ok\n");
}

INSTANTIATE_TEST_SUITE_P(By, Chromium, ::testing::Bool(),
                         [](const auto& of) { return of.param ? "Https" : "Http"; });

struct left {
  const char* name;
  const char* begin;  // by a "call" of the page, or to "open" a page
  const char* path;
  const char* how;
  bool tls;
};

void PrintTo(const left& l, std::ostream* out) { *out << l.name; }

class ChromiumThatLeaves : public ::testing::TestWithParam<left> {};

TEST_P(ChromiumThatLeaves, EndsTheContext) {
  CURFEW_NEEDS_CHROMIUM;
  own_server server(GetParam().tls);
  chromium browser({"leave", GetParam().begin, GetParam().path, GetParam().how, server.url("")});
  ASSERT_TRUE(server.has_begun());
  browser.write("now\n");
  EXPECT_EQ(server.end(), errc::client_gone);
  EXPECT_EQ(browser.read_all(), "ok\n");
}

std::vector<left> all_that_leave(bool tls) {
  return {{"ReloadWhileAHandlerRuns", "call", "/wait", "reload", tls},
          {"ReloadOfAPageThatIsNotWhole", "open", "/hold", "reload", tls},
          {"ReloadWhileADownloadPauses", "call", "/hold", "reload", tls},
          {"NavigationWhileAHandlerRuns", "open", "/wait", "navigate", tls},
          {"NavigationWhileADownloadIsHeldBack", "call", "/endless", "navigate", tls},
          {"NavigationFromAPageThatComes", "open", "/endless", "navigate", tls},
          {"ClosingWhileADownloadIsHeldBack", "call", "/endless", "close", tls},
          {"AbortOfACall", "call", "/wait", "abort", tls}};
}

std::string name_of(const ::testing::TestParamInfo<left>& of) { return of.param.name; }

INSTANTIATE_TEST_SUITE_P(By, ChromiumThatLeaves, ::testing::ValuesIn(all_that_leave(false)), name_of);
INSTANTIATE_TEST_SUITE_P(OverTlsBy, ChromiumThatLeaves, ::testing::ValuesIn(all_that_leave(true)), name_of);

}  // namespace
}  // namespace curfew::http
