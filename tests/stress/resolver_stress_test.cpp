// Many threads at one resolver with few threads of its own. CURFEW_SEED=<number> repeats the choices, though not the
// timing. Meant to be run under the sanitizers as well.
#include <curfew/io/detail/resolver.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "race.hpp"

namespace curfew::detail {
namespace {

using namespace std::chrono_literals;
using testing::announce_seed;
using testing::dawdle;
using testing::time_box;

/// A name that the C library resolves without a server, but asio does not take for an address: 127.0.7 is 127.0.0.7.
std::string name_of(unsigned number) { return "127.0." + std::to_string(number); }

bool is_address(const resolver::answer& got, unsigned number) {
  const boost::asio::ip::address expected = boost::asio::ip::address_v4(0x7F000000U + number);
  return got && **got == resolver::addresses{expected};
}

/// One search; its fields are plain, so ThreadSanitizer sees whether dropping the ticket comes after the listener.
struct asked {
  unsigned number = 0;
  int calls = 0;
  bool right = true;
  resolver::ticket place;

  /// Whether an answer is there at once.
  bool ask(resolver& r, unsigned name) {
    number = name;
    const auto got = r.find(name_of(name), place, [this](const resolver::answer& a) { note(a); });
    if (got) note(*got);
    return got.has_value();
  }
  void note(const resolver::answer& got) {
    ++calls;
    right = is_address(got, number);
  }
};

struct totals {
  std::atomic<unsigned> at_once{0};
  std::atomic<unsigned> answered{0};
  std::atomic<unsigned> dropped{0};
  std::atomic<unsigned> left_alone{0};
  std::atomic<unsigned> left_alone_done{0};
};

void one_thread(resolver& r, std::uint64_t seed, const time_box& box, totals& all) {
  std::mt19937_64 random(seed);
  std::vector<std::unique_ptr<asked>> mine;
  const auto drop = [&](std::size_t which) {
    asked& one = *mine[which];
    one.place.drop();
    EXPECT_LE(one.calls, 1);
    EXPECT_TRUE(one.right);
    ++(one.calls == 0 ? all.dropped : all.answered);
    mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(which));
  };
  while (box.open()) {
    const auto number = static_cast<unsigned>(1 + random() % 40);
    switch (random() % 8) {
      case 0: {  // belongs to its listener, which drops its own ticket
        auto own = std::make_shared<resolver::ticket>();
        ++all.left_alone;
        if (r.find(name_of(number), *own, [own, &all, number](const resolver::answer& a) {
              EXPECT_TRUE(is_address(a, number));
              own->drop();
              ++all.left_alone_done;
            })) {
          ++all.left_alone_done;
        }
        break;
      }
      case 1:  // hundreds that join
        for (int i = 0; i < 100; ++i) {
          mine.push_back(std::make_unique<asked>());
          if (mine.back()->ask(r, number)) ++all.at_once;
        }
        break;
      case 2:
      case 3:
        while (mine.size() > 200 || (!mine.empty() && random() % 16 != 0)) drop(random() % mine.size());
        break;
      default:
        mine.push_back(std::make_unique<asked>());
        if (mine.back()->ask(r, number)) ++all.at_once;
        if (random() % 2 == 0) {
          dawdle(random);
          drop(mine.size() - 1);
        }
    }
  }
  while (!mine.empty()) drop(mine.size() - 1);
}

TEST(ResolverStress, AnswersEachOnceAndNoneThatHasDroppedItsTicket) {
  const std::uint64_t seed =
      announce_seed("joins, hits and evictions against drops: while queued, running, called");
  resolver::limits tight;
  tight.threads = 3;
  tight.names = 8;
  tight.keep = 1ms;
  static auto* const kept = new resolver(tight);  // its threads may still be about to end
  resolver& r = *kept;
  totals all;
  {
    const time_box box(1500ms);
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 0; i != 6; ++i)
      threads.emplace_back([&, i] { one_thread(r, seed + i, box, all); });
  }
  const time_box patience(60s);
  while (all.left_alone_done != all.left_alone && patience.open()) std::this_thread::yield();
  EXPECT_EQ(all.left_alone_done, all.left_alone);
  std::cout << all.at_once << " at once, " << all.answered << " answered, " << all.dropped << " dropped, "
            << all.left_alone << " left alone\n";
  EXPECT_GT(all.at_once, 100U);
  EXPECT_GT(all.answered, 100U);
  EXPECT_GT(all.dropped, 100U);
}

}  // namespace
}  // namespace curfew::detail
