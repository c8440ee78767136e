#include <curfew/core.hpp>

#include "race.hpp"

#include <array>
#include <atomic>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace curfew {
namespace {

/// Writes down what it is told of contexts derived in this file.
class recorder : public observer {
 public:
  void derived(const context& made) noexcept override {
    const std::lock_guard guard(mutex_);
    log_.push_back("derived " + name(context_id(made)) + (made.err() ? " ended" : ""));
  }
  void ended(const context& which) noexcept override {
    const std::lock_guard guard(mutex_);
    log_.push_back("ended " + name(context_id(which)) + " " + which.cause().message());
  }
  void destroyed(const void* id) noexcept override {
    const std::lock_guard guard(mutex_);
    log_.push_back("destroyed " + name(id));
    names_.erase(id);
  }

  std::vector<std::string> take() {
    const std::lock_guard guard(mutex_);
    return std::exchange(log_, {});
  }

 private:
  std::string name(const void* id) {
    const auto [at, is_new] = names_.emplace(id, next_);
    if (is_new) ++next_;
    return std::string(1, at->second);
  }

  std::mutex mutex_;
  std::map<const void*, char> names_;
  char next_ = 'a';
  std::vector<std::string> log_;
  observation watch_{*this};
};

constexpr key<int> number{"number"};
using log = std::vector<std::string>;

TEST(Observer, SeesContextsComeEndAndGo) {
  recorder seen;
  {
    auto parent = with_cancel(background());
    auto child = with_cancel(parent);
    {
      const context value = with_value(child, number, 1);
    }
    EXPECT_EQ(seen.take(), (log{"derived a", "derived b", "derived c", "destroyed c"}));
    parent.cancel("enough");
    EXPECT_EQ(seen.take(), (log{"ended a enough", "ended b enough"}));
  }
  EXPECT_EQ(seen.take(), (log{"destroyed b", "destroyed a"}));
}

TEST(Observer, SeesAContextThatIsBornEnded) {
  auto parent = with_cancel(background());
  parent.cancel();
  recorder seen;
  {
    auto child = with_cancel(parent);
  }
  EXPECT_EQ(seen.take(), (log{"derived a ended", "destroyed a"}));
}

TEST(Observer, DoesNothingByDefault) {
  observer quiet;
  const observation watch(quiet);
  auto scope = with_cancel(background());
  scope.cancel();
}

struct counting final : observer {
  std::atomic<int> made{0};
  std::atomic<int> over{0};
  std::atomic<int> gone{0};

  void derived(const context& /*made*/) noexcept override { ++made; }
  void ended(const context& /*which*/) noexcept override { ++over; }
  void destroyed(const void* /*id*/) noexcept override { ++gone; }
};

void derive_end_and_destroy() {
  auto scope = with_cancel(background());
  scope.cancel();
}

TEST(Observation, TellsEachOfSeveralObservers) {
  std::array<counting, 3> seen;
  {
    const observation first(seen[0]);
    const observation second(seen[1]);
    const observation third(seen[2]);
    derive_end_and_destroy();
  }
  for (const counting& each : seen) {
    EXPECT_EQ(each.made, 1);
    EXPECT_EQ(each.over, 1);
    EXPECT_EQ(each.gone, 1);
  }
}

TEST(Observation, TellsNothingOnceItIsGone) {
  counting gone;
  counting stays;
  std::optional<observation> first(std::in_place, gone);
  const observation second(stays);
  derive_end_and_destroy();
  first.reset();
  derive_end_and_destroy();
  EXPECT_EQ(gone.made, 1);
  EXPECT_EQ(stays.made, 2);
}

TEST(Observation, IsOneOfSeveralOfTheSameObserver) {
  counting seen;
  const observation first(seen);
  {
    const observation second(seen);
    derive_end_and_destroy();
  }
  derive_end_and_destroy();
  EXPECT_EQ(seen.made, 3);
}

TEST(Observation, SeesTheEndOfAContextThatIsWaitedForToo) {
  counting seen;
  const observation watch(seen);
  int ran = 0;
  auto scope = with_cancel(background());
  const on_done stop(scope, [&] { ++ran; });
  scope.cancel();
  EXPECT_EQ(seen.over, 1);
  EXPECT_EQ(ran, 1);
}

struct observation_against_a_derivation {
  struct mortal final : observer {
    std::atomic<bool> alive{true};
    std::atomic<int> too_late{0};

    void derived(const context& /*made*/) noexcept override { note(); }
    void ended(const context& /*which*/) noexcept override { note(); }
    void destroyed(const void* /*id*/) noexcept override { note(); }
    void note() noexcept { too_late += alive ? 0 : 1; }
  };
  mortal seen;
  std::optional<observation> watch{std::in_place, seen};

  void left() {
    watch.reset();
    seen.alive = false;
  }
  void right() { derive_end_and_destroy(); }  // NOLINT(readability-convert-member-functions-to-static)
  void check() const { EXPECT_EQ(seen.too_late, 0); }
};

TEST(Observation, IsOverWhenItsDestructorReturns) {
  testing::hunt<observation_against_a_derivation>("a derivation against the end of an observation");
}

}  // namespace
}  // namespace curfew
