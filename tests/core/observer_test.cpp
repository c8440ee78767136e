#include <curfew/core.hpp>

#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace curfew {
namespace {

/// Writes down what it is told of contexts derived in this file.
class recorder : public observer {
 public:
  recorder() : before_(set_observer(this)) {}
  ~recorder() override { set_observer(before_); }

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
  observer* before_;
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

TEST(Observer, IsToldNothingWhenItIsNotSet) {
  recorder seen;
  EXPECT_EQ(set_observer(nullptr), &seen);
  {
    auto scope = with_cancel(background());
  }
  EXPECT_TRUE(seen.take().empty());
  set_observer(&seen);
}

TEST(Observer, DoesNothingByDefault) {
  observer quiet;
  observer* before = set_observer(&quiet);
  {
    auto scope = with_cancel(background());
  }
  set_observer(before);
}

}  // namespace
}  // namespace curfew
