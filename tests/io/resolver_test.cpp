#include <curfew/io/detail/resolver.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/error.hpp>
#include <chrono>
#include <cstdlib>
#include <curfew/core/cancel_scope.hpp>
#include <future>
#include <latch>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "at_rest.hpp"
#include "fake_resolver.hpp"
#include "program.hpp"
#include "run_coroutine.hpp"
#include "sanitizers.hpp"

namespace curfew::detail {
namespace {

namespace asio = boost::asio;
using tests::lookups_of;
using tests::program_patience;
using tests::release_stuck_lookups;
using tests::wait_for_stuck_lookup;
using namespace std::chrono_literals;
using boost::asio::ip::make_address;
using ::testing::ElementsAre;

/// One search: its answer comes from find() or from a thread of the resolver.
class search {
 public:
  search(resolver& in, const std::string& host) {
    at_once = in.find(host, place, [this](resolver::answer a) { told_.set_value(std::move(a)); });
    if (at_once) told_.set_value(*at_once);
  }

  resolver::answer wait() {
    if (later_.wait_for(program_patience) != std::future_status::ready) throw std::runtime_error("no answer");
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
resolver& lasting(const resolver::limits& limit = {}) {
  static auto* made = new std::list<resolver*>;
  return *made->emplace_back(new resolver(limit));
}

std::atomic<clock::duration> manual_time{clock::duration{0}};

/// Limits whose time stands still.
resolver::limits manual() {
  resolver::limits made;
  made.now = [] { return clock::time_point(1h + manual_time.load()); };
  return made;
}

void pass(clock::duration time) { manual_time = manual_time.load() + time; }

TEST(Resolver, FindsANameInAThread) {
  search one(lasting(), "peer.test");
  EXPECT_FALSE(one.at_once);
  const auto got = one.wait();
  ASSERT_TRUE(got) << got.error();
  EXPECT_THAT(**got, ElementsAre(make_address("127.0.0.1")));
}

TEST(Resolver, FindsLocalhostAsTheSystemSays) {
  const auto got = search(lasting(), "localhost").wait();
  ASSERT_TRUE(got) << got.error();
  for (const auto& each : **got) EXPECT_TRUE(each.is_loopback()) << each;
}

TEST(Resolver, KnowsAddressesAtOnce) {
  for (const char* literal : {"127.0.0.1", "::1", "fe80::1%lo", "::ffff:127.0.0.1"}) {
    search one(lasting(), literal);
    ASSERT_TRUE(one.at_once) << literal;
    EXPECT_THAT(**one.wait(), ElementsAre(make_address(literal)));
  }
}

TEST(Resolver, TakesFamiliesInTurnAndNoAddressTwice) {
  const auto got = search(lasting(), "mixed.test").wait();
  ASSERT_TRUE(got) << got.error();
  EXPECT_THAT(**got, ElementsAre(make_address("fd00::1"), make_address("127.0.0.1"), make_address("fd00::2"),
                                 make_address("127.0.0.2"), make_address("fd00::3")));
}

TEST(Resolver, TakesNoMoreAddressesThanACallMayTry) {
  const auto got = search(lasting(), "many.test").wait();
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ((*got)->size(), resolver::most_addresses);
}

TEST(Resolver, RefusesAtOnceWhatCannotBeAName) {
  for (const std::string& name : {std::string(), std::string(256, 'x'), std::string("peer.test\0.other", 16),
                                  std::string("127.0.0.1\0x", 11)}) {
    search one(lasting(), name);
    ASSERT_TRUE(one.at_once) << name;
    EXPECT_EQ(one.wait().error(), asio::error::host_not_found);
  }
}

TEST(Resolver, TellsWhatIsMissingFromWhatFailed) {
  EXPECT_EQ(search(lasting(), "missing.test").wait().error(), asio::error::host_not_found);
  EXPECT_EQ(search(lasting(), "broken.test").wait().error(), std::errc::too_many_files_open);
  search stuck(lasting(), "stuck.test");
  ASSERT_TRUE(wait_for_stuck_lookup());
  release_stuck_lookups();
  const error why = stuck.wait().error();
  EXPECT_EQ(why, std::errc::resource_unavailable_try_again);
  EXPECT_TRUE(why.transient());
  EXPECT_NE(why.doing(), "");
}

TEST(Resolver, LooksANameUpOnceForAllThatAsk) {
  resolver& r = lasting();
  const int before = lookups_of("held.test");
  std::list<search> all;
  for (int i = 0; i < 100; ++i) all.emplace_back(r, "held.test");
  ASSERT_TRUE(wait_for_stuck_lookup());
  release_stuck_lookups();
  for (search& each : all) EXPECT_TRUE(each.wait());
  EXPECT_EQ(lookups_of("held.test") - before, 1);
}

TEST(Resolver, FindsOtherNamesWhileSomeHang) {
  resolver& r = lasting();
  std::list<search> stuck;
  for (int i = 0; i < 20; ++i) stuck.emplace_back(r, "stuck-" + std::to_string(i) + ".test");
  ASSERT_TRUE(wait_for_stuck_lookup(20));
  EXPECT_TRUE(search(r, "peer.test").wait());
  release_stuck_lookups();
}

TEST(Resolver, QueuesWhatFindsNoThread) {
  resolver::limits two;
  two.threads = 2;
  resolver& r = lasting(two);
  search first(r, "held-1.test");
  search second(r, "held-2.test");
  ASSERT_TRUE(wait_for_stuck_lookup(2));
  search third(r, "peer.test");
  search same(r, "peer.test");
  EXPECT_FALSE(third.at_once);
  release_stuck_lookups();
  for (search* each : {&first, &second, &third, &same}) EXPECT_TRUE(each->wait());
}

TEST(Resolver, SaysThatEveryThreadHangs) {
  resolver::limits two = manual();
  two.threads = 2;
  resolver& r = lasting(two);
  search first(r, "stuck-1.test");
  pass(two.patience);
  search second(r, "stuck-2.test");
  ASSERT_TRUE(wait_for_stuck_lookup(2));
  pass(two.patience - 1ns);
  search queued(r, "peer.test");
  EXPECT_FALSE(queued.at_once);
  pass(1ns);
  search third(r, "peer-3.test");
  ASSERT_TRUE(third.at_once);
  EXPECT_EQ(third.wait().error(), std::errc::resource_unavailable_try_again);
  EXPECT_EQ(third.at_once->error().doing(), "2 lookups hang");
  release_stuck_lookups();
  EXPECT_TRUE(queued.wait());
  EXPECT_TRUE(search(r, "peer-3.test").wait());
}

TEST(Resolver, DropsALookupFromTheQueueWithItsLastTicket) {
  resolver::limits one;
  one.threads = 1;
  resolver& r = lasting(one);
  const int before = lookups_of("peer-dropped.test");
  search first(r, "held.test");
  ASSERT_TRUE(wait_for_stuck_lookup());
  {
    search dropped(r, "peer-dropped.test");
    search too(r, "peer-dropped.test");
  }
  search last(r, "peer-last.test");
  release_stuck_lookups();
  EXPECT_TRUE(last.wait());
  EXPECT_EQ(lookups_of("peer-dropped.test"), before);
}

TEST(Resolver, KeepsWhatALookupFindsThatNobodyWaitsForAnyMore) {
  resolver::limits one;
  one.threads = 1;
  one.keep = 1h;
  resolver& r = lasting(one);
  {
    search dropped(r, "held.test");
    ASSERT_TRUE(wait_for_stuck_lookup());
  }
  search behind(r, "peer.test");
  release_stuck_lookups();
  EXPECT_TRUE(behind.wait());  // of the same thread, so after the first
  search again(r, "held.test");
  ASSERT_TRUE(again.at_once);
  EXPECT_TRUE(again.wait());
}

TEST(Resolver, KnowsANameForAWhile) {
  const resolver::limits limit = manual();
  resolver& r = lasting(limit);
  EXPECT_TRUE(search(r, "peer.test").wait());
  pass(limit.keep - 1ns);
  EXPECT_TRUE(search(r, "peer.test").at_once);
  pass(1ns);
  EXPECT_FALSE(search(r, "peer.test").at_once);
}

TEST(Resolver, KnowsThatANameIsMissingForAShorterWhile) {
  const resolver::limits limit = manual();
  resolver& r = lasting(limit);
  EXPECT_FALSE(search(r, "missing.test").wait());
  pass(limit.keep_missing - 1ns);
  EXPECT_TRUE(search(r, "missing.test").at_once);
  pass(1ns);
  EXPECT_FALSE(search(r, "missing.test").at_once);
  EXPECT_LT(limit.keep_missing, limit.keep);
}

TEST(Resolver, AsksAgainWhereTheSystemFailed) {
  resolver& r = lasting(manual());
  EXPECT_FALSE(search(r, "broken.test").wait());
  EXPECT_FALSE(search(r, "broken.test").at_once);
}

TEST(Resolver, ForgetsTheOldestOfTooManyNames) {
  resolver::limits limit = manual();
  limit.names = 2;
  resolver& r = lasting(limit);
  for (const char* name : {"peer-1.test", "peer-2.test", "peer-3.test"}) {
    EXPECT_TRUE(search(r, name).wait());
    pass(1ms);
  }
  EXPECT_TRUE(search(r, "peer-2.test").at_once);
  EXPECT_TRUE(search(r, "peer-3.test").at_once);
  EXPECT_FALSE(search(r, "peer-1.test").at_once);
}

TEST(ResolverTicket, TakesTheListenerBack) {
  resolver::limits one;
  one.threads = 1;
  resolver& r = lasting(one);
  auto held = std::make_shared<int>();
  std::atomic<bool> called = false;
  {
    resolver::ticket place;
    EXPECT_FALSE(r.find("held.test", place, [held, &called](const resolver::answer&) { called = true; }));
    ASSERT_TRUE(wait_for_stuck_lookup());
    resolver::ticket moved = std::move(place);
    place = std::move(moved);
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
  search behind(r, "peer.test");
  release_stuck_lookups();
  EXPECT_TRUE(behind.wait());
  EXPECT_FALSE(called);
}

TEST(ResolverTicket, GivesUpItsPlaceForANewOne) {
  resolver& r = lasting();
  resolver::ticket place;
  std::atomic<bool> called = false;
  EXPECT_FALSE(r.find("stuck.test", place, [&](const resolver::answer&) { called = true; }));
  ASSERT_TRUE(wait_for_stuck_lookup());
  EXPECT_TRUE(r.find("::1", place, [&](const resolver::answer&) { called = true; }));
  release_stuck_lookups();
  place.drop();
  EXPECT_FALSE(called);
}

TEST(ResolverTicket, WaitsForAListenerThatRuns) {
  resolver& r = lasting();
  std::latch runs(1);
  std::latch may_return(1);
  std::atomic<bool> returned = false;
  resolver::ticket place;
  EXPECT_FALSE(r.find("peer.test", place, [&](const resolver::answer&) {
    runs.count_down();
    may_return.wait();
    returned = true;
  }));
  runs.wait();
  auto dropping = std::async(std::launch::async, [&] {
    place.drop();
    EXPECT_TRUE(returned);
  });
  EXPECT_EQ(dropping.wait_for(10ms), std::future_status::timeout);
  may_return.count_down();
  dropping.get();
}

TEST(ResolverTicket, IsDroppedByItsOwnListener) {
  resolver& r = lasting();
  std::latch done(1);
  auto place = std::make_shared<resolver::ticket>();
  auto held = std::make_shared<int>(7);
  EXPECT_FALSE(r.find("held.test", *place, [&place, &done, held](const resolver::answer&) {
    place.reset();
    EXPECT_EQ(*held, 7);
    done.count_down();
  }));
  ASSERT_TRUE(wait_for_stuck_lookup());
  release_stuck_lookups();
  done.wait();
  EXPECT_EQ(place, nullptr);
}

TEST(ResolverTicket, IsDroppedByAListenerBeforeIt) {
  resolver& r = lasting();
  resolver::ticket first;
  resolver::ticket second;
  std::atomic<bool> called = false;
  EXPECT_FALSE(r.find("held.test", first, [&](const resolver::answer&) { second.drop(); }));
  ASSERT_TRUE(wait_for_stuck_lookup());
  EXPECT_FALSE(r.find("held.test", second, [&](const resolver::answer&) { called = true; }));
  search last(r, "held.test");
  release_stuck_lookups();
  EXPECT_TRUE(last.wait());
  EXPECT_FALSE(called);
}

// One caller's lookup, in a thread and in a coroutine.

using lookup = resolver::answer (*)(const context&, const std::string&);

resolver::answer in_coroutine(const context& ctx, const std::string& host) {
  return tests::run_coroutine(async_resolve(ctx, host));
}

class Resolve : public ::testing::TestWithParam<lookup> {};

TEST_P(Resolve, GivesTheAddressesOfAName) {
  for (const char* name : {"peer.test", "127.0.0.1"}) {
    const auto got = GetParam()(background(), name);
    ASSERT_TRUE(got) << got.error();
    EXPECT_THAT(**got, ElementsAre(make_address("127.0.0.1")));
  }
}

TEST_P(Resolve, WaitsForTheSystem) {
  const std::jthread releases([] {
    EXPECT_TRUE(wait_for_stuck_lookup());
    release_stuck_lookups();
  });
  static int runs = 0;  // what one run finds is known to the next
  const auto got = GetParam()(background(), "held-" + std::to_string(++runs) + ".test");
  ASSERT_TRUE(got) << got.error();
  EXPECT_THAT(**got, ElementsAre(make_address("127.0.0.1")));
}

TEST_P(Resolve, SaysWhatIsMissing) {
  const auto got = GetParam()(background(), "missing.test");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), asio::error::host_not_found);
}

TEST_P(Resolve, EndsWithItsContextWhileTheSystemHangs) {
  auto scope = with_cancel(background());
  std::jthread ends([&scope] {
    EXPECT_TRUE(wait_for_stuck_lookup());
    scope.cancel(cause("Refresh"));
  });
  const auto got = GetParam()(scope.ctx(), "stuck-resolve.test");
  ends.join();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::canceled);
  EXPECT_EQ(got.error().cause(), cause("Refresh"));
  release_stuck_lookups();
}

TEST_P(Resolve, AsksNothingForAContextThatHasEnded) {
  auto scope = with_cancel(background());
  scope.cancel();
  const auto got = GetParam()(scope.ctx(), "stuck-never-asked.test");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), errc::canceled);
  EXPECT_EQ(lookups_of("stuck-never-asked.test"), 0);
}

INSTANTIATE_TEST_SUITE_P(EachWay, Resolve, ::testing::Values(&resolve, &in_coroutine), [](const auto& way) {
  return std::string(way.index == 0 ? "Thread" : "Coroutine");
});

[[noreturn]] void exit_with_a_lookup_under_way() {
  static search one(resolver::shared(), "stuck.test");
  if (!wait_for_stuck_lookup()) std::abort();
  std::exit(7);
}

TEST(ResolverExitDeathTest, IsCleanWhileALookupHangs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(exit_with_a_lookup_under_way(), ::testing::ExitedWithCode(7), "");
}

// Nothing but the handlers of fork() orders the two threads here.
TEST(ResolverFork, MayBeInAThreadThatDidNotMakeIt) {
  std::atomic<bool> is_made{false};
  std::thread forks([&is_made] {
    while (!is_made.load(std::memory_order_relaxed)) std::this_thread::yield();
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  });
  EXPECT_TRUE(resolve(background(), "127.0.0.1"));
  is_made.store(true, std::memory_order_relaxed);
  forks.join();
}

// The child has no thread of its parent's, and none that would call what waits.
TEST(ResolverFork, LeavesTheChildAResolverThatWorks) {
  if (tests::under_thread_sanitizer)
    GTEST_SKIP() << "ThreadSanitizer does not let a forked child start threads";
  resolver& r = resolver::shared();
  static int runs = 0;  // what one run finds is known to the next
  auto stuck = std::make_unique<search>(r, "held-by-parent-" + std::to_string(++runs) + ".test");
  ASSERT_TRUE(wait_for_stuck_lookup());
  tests::let_other_threads_fall_asleep();
  const pid_t child = ::fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    ::alarm(static_cast<unsigned>(program_patience.count()));
    stuck.reset();
    search other(r, "peer-child.test");
    ::_exit(other.wait() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  release_stuck_lookups();
  EXPECT_TRUE(stuck->wait());
}

}  // namespace
}  // namespace curfew::detail
