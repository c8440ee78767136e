#include "base/access.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <utility>

namespace curfew_dashboard {
namespace {

using field = std::pair<const char*, const char*>;

http::request request_with(std::initializer_list<field> fields) {
  http::request made("GET", "/api/config");
  for (const auto& [name, value] : fields) made.fields().add(name, value);
  return made;
}

/// 0: let in.
unsigned answer(const gatekeeper& gate, std::initializer_list<field> fields) {
  const auto refused = gate(request_with(fields));
  return refused ? http::to_number(refused->status) : 0;
}

TEST(ParseHost, TakesNameAndPortApart) {
  EXPECT_EQ(parse_host("LocalHost:80")->host, "localhost");
  EXPECT_EQ(parse_host("LocalHost:80")->port, "80");
  EXPECT_EQ(parse_host("[::1]:8080")->host, "[::1]");
  EXPECT_EQ(parse_host("[::1]")->port, "");
  EXPECT_EQ(parse_host("box.lan")->host, "box.lan");
  for (const char* bad : {"", ":80", "a:", "a:b", "a:123456", "[::1", "a b", "a/b", "a@b"}) {
    EXPECT_FALSE(parse_host(bad)) << bad;
  }
}

TEST(FrontAccess, KnowsItsOwnNamesOnly) {
  const front_access gate("127.0.0.1:8080", {"Box.lan"});
  for (const char* own :
       {"127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080", "box.lan:8080", "box.lan"}) {
    EXPECT_EQ(answer(gate, {{"Host", own}}), 0U) << own;
  }
  for (const char* foreign :
       {"evil.example:8080", "127.0.0.1:9090", "localhost", "127.0.0.1.evil.example:8080", ""}) {
    EXPECT_EQ(answer(gate, {{"Host", foreign}}), 421U) << foreign;
  }
  EXPECT_EQ(answer(gate, {}), 421U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost:8080"}, {"Host", "evil.example"}}), 421U);
}

TEST(FrontAccess, KnowsTheAddressItListensOn) {
  EXPECT_EQ(answer(front_access("192.168.1.5:80", {}), {{"Host", "192.168.1.5"}}), 0U);
  EXPECT_EQ(answer(front_access("192.168.1.5:81", {}), {{"Host", "192.168.1.5"}}), 421U);
  EXPECT_EQ(answer(front_access("0.0.0.0:80", {}), {{"Host", "192.168.1.5"}}), 421U);
}

TEST(FrontAccess, RefusesOtherOrigins) {
  const front_access gate("127.0.0.1:8080", {});
  EXPECT_EQ(answer(gate, {{"Host", "localhost:8080"}, {"Origin", "http://localhost:8080"}}), 0U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost:8080"}, {"Origin", "http://127.0.0.1:8080"}}), 403U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost:8080"}, {"Origin", "http://localhost:9090"}}), 403U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost:8080"}, {"Origin", "http://localhost"}}), 403U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost:8080"}, {"Origin", "null"}}), 403U);
  EXPECT_EQ(
      answer(gate,
             {{"Host", "localhost:8080"}, {"Origin", "http://localhost:8080"}, {"Origin", "http://evil"}}),
      403U);
}

TEST(FrontAccess, RefusesWhatABrowserSendsForOtherSites) {
  const front_access gate("127.0.0.1:8080", {});
  EXPECT_EQ(answer(gate, {{"Host", "localhost:8080"}, {"Sec-Fetch-Site", "same-origin"}}), 0U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost:8080"}, {"Sec-Fetch-Site", "none"}}), 0U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost:8080"}, {"Sec-Fetch-Site", "same-site"}}), 403U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost:8080"}, {"Sec-Fetch-Site", "cross-site"}}), 403U);
}

TEST(ServiceAccess, IsForProgramsOnThisMachine) {
  const service_access gate("");
  EXPECT_EQ(answer(gate, {{"Host", "127.0.0.1:1234"}}), 0U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost:1234"}}), 0U);
  EXPECT_EQ(answer(gate, {{"Host", "evil.example"}}), 403U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost"}, {"Origin", "http://localhost"}}), 403U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost"}, {"Sec-Fetch-Site", "cross-site"}}), 403U);
}

TEST(ServiceAccess, AsksForTheToken) {
  const service_access gate("secret");
  EXPECT_EQ(answer(gate, {{"Host", "localhost"}}), 401U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost"}, {"Authorization", "Bearer secre"}}), 401U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost"}, {"Authorization", "Bearer secreT"}}), 401U);
  EXPECT_EQ(answer(gate, {{"Host", "localhost"}, {"Authorization", "Bearer secret"}}), 0U);
}

TEST(RequireJson, RefusesWhatAFormCanSend) {
  EXPECT_FALSE(require_json(request_with({{"Content-Type", "application/json"}})));
  EXPECT_FALSE(require_json(request_with({{"Content-Type", "Application/JSON ; charset=utf-8"}})));
  EXPECT_TRUE(require_json(request_with({{"Content-Type", "text/plain"}})));
  EXPECT_TRUE(require_json(request_with({{"Content-Type", "text/plain; application/json"}})));
  EXPECT_TRUE(require_json(request_with({})));
}

}  // namespace
}  // namespace curfew_dashboard
