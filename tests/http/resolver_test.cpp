#include "http/client/resolver.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <curfew/http/errc.hpp>
#include <future>
#include <memory>
#include <string>

#include "http/client_peer.hpp"
#include "http/fake_resolver.hpp"

namespace curfew::http {
namespace {

using namespace client_tests;
using boost::asio::ip::make_address;

/// One search: its answer comes from find() or from a thread of the resolver.
class search {
 public:
  search(resolver& in, const std::string& host) {
    at_once = in.find(host, place, [this](resolver::answer a) { told_.set_value(std::move(a)); });
    if (at_once) told_.set_value(*at_once);
  }

  resolver::answer wait() {
    if (later_.wait_for(patience) != std::future_status::ready) throw std::runtime_error("no answer");
    return later_.get();
  }

 private:
  std::promise<resolver::answer> told_;
  std::future<resolver::answer> later_ = told_.get_future();

 public:
  std::optional<resolver::answer> at_once;
  resolver::ticket place;  // destroyed first
};

/// Resolvers cannot be destroyed; LeakSanitizer finds these through it.
resolver& fresh(const resolver::limits& limit = {}) {
  static auto* made = new std::vector<resolver*>;
  made->push_back(new resolver(limit));
  return *made->back();
}

TEST(Resolver, FindsANameInAThread) {
  search one(fresh(), "peer.test");
  EXPECT_FALSE(one.at_once);
  const auto got = one.wait();
  ASSERT_TRUE(got) << got.error();
  EXPECT_THAT(**got, ::testing::ElementsAre(make_address("127.0.0.1")));
}

TEST(Resolver, KnowsAddressesAtOnce) {
  for (const char* literal : {"127.0.0.1", "::1"}) {
    search one(fresh(), literal);
    ASSERT_TRUE(one.at_once);
    EXPECT_THAT(**one.wait(), ::testing::ElementsAre(make_address(literal)));
  }
}

TEST(Resolver, ReportsANameThatIsMissing) {
  search one(fresh(), "missing.test");
  EXPECT_EQ(one.wait().error(), errc::name_not_found);
}

}  // namespace
}  // namespace curfew::http
