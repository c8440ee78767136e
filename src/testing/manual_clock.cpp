#include <chrono>
#include <cstdio>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/manual_time.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/testing/manual_clock.hpp>
#include <mutex>

namespace curfew::testing {

/// Looks every few seconds of real time whether a clock that should move by itself has come to a stop.
class manual_clock::stall_watch : public std::enable_shared_from_this<stall_watch> {
 public:
  explicit stall_watch(context root) : root_(std::move(root)) {}

  void start() {
    auto next = std::make_unique<look>(weak_from_this());
    const std::lock_guard guard(mutex_);
    if (!stopped_) std::swap(next_, next);
  }  // the one before, if any, goes here: in its own callback

  void stop() noexcept {
    std::unique_ptr<look> last;
    const std::lock_guard guard(mutex_);
    stopped_ = true;
    last = std::move(next_);
  }

 private:
  static constexpr std::chrono::seconds period{5};

  struct fire {
    std::weak_ptr<stall_watch> watch;
    void operator()() const noexcept {
      if (const auto its = watch.lock()) its->compare();
    }
  };
  struct look {
    cancel_scope timer = with_timeout(curfew::background(), period);
    on_done<fire> due;

    explicit look(std::weak_ptr<stall_watch> watch) : due(timer, fire{std::move(watch)}) {}
  };

  /// In the thread of the system's timers.
  void compare() noexcept {
    const auto state = detail::state_of_manual_root(root_);
    if (state.changes != seen_) {
      seen_ = state.changes;
      told_ = false;
    } else if (!told_) {
      told_ = true;
      std::fprintf(stderr, "curfew::testing::manual_clock: nothing has moved for 5 s: %s\n",
                   detail::describe(state).c_str());
    }
    if (told_ && state.busy == 0 && state.next) detail::advance_manual_root_to_next(root_);
    try {
      start();
    } catch (...) {  // NOLINT(bugprone-empty-catch): without memory it no longer looks
    }
  }

  const context root_;
  std::uint64_t seen_ = 0;  // of the timers' thread, as is told_
  bool told_ = false;
  std::mutex mutex_;  // guards the rest
  bool stopped_ = false;
  std::unique_ptr<look> next_;
};

manual_clock::manual_clock() : root_(detail::make_manual_root()) {}

manual_clock::~manual_clock() { stand_still(); }

void manual_clock::advance(clock::duration step) noexcept { detail::advance_manual_root(root_, step); }

bool manual_clock::advance_to_next() noexcept { return detail::advance_manual_root_to_next(root_); }

void manual_clock::autojump() {
  detail::autojump_manual_root(root_, true);
  if (watch_ != nullptr) return;
  watch_ = std::make_shared<stall_watch>(root_);
  watch_->start();
}

void manual_clock::stand_still() noexcept {
  detail::autojump_manual_root(root_, false);
  if (watch_ != nullptr) watch_->stop();
  watch_.reset();
}

}  // namespace curfew::testing
