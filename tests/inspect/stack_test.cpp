#include <curfew/inspect/stack.hpp>

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/inspect.hpp>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "sanitizers.hpp"

namespace curfew::inspect {

using namespace std::chrono_literals;

std::atomic<bool> digs_on{true};
std::atomic<std::uint64_t> dug{0};

/// With external linkage, so that the symbol table has it however it is compiled.
[[gnu::noinline]] void dig_a_hole() {
  while (digs_on.load()) dug.fetch_add(1);
}
constexpr unsigned line_of_the_hole = __LINE__ - 2;

namespace {

constexpr task_kind outer{"outer"};
constexpr task_kind digging{"dig"};

std::uint64_t id_of(std::string_view kind) {
  std::uint64_t found = 0;
  each_task([&](const task_info& t) {
    if (t.kind == kind) found = t.id;
    return found == 0;
  });
  return found;
}

template <class F>
bool eventually(F holds) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

/// The stack of the one thread at it. On a busy machine that may take more than one question.
thread_stack stack_of(std::string_view kind) {
  std::optional<std::vector<thread_stack>> found;
  EXPECT_TRUE(eventually([&] {
    found = stacks_of(id_of(kind));
    return found && found->size() == 1 && found->front().error.empty();
  }));
  return found && !found->empty() ? found->front() : thread_stack();
}

class Stack : public ::testing::Test {
 protected:
  void SetUp() override {
    if (tests::under_thread_sanitizer) GTEST_SKIP() << "ThreadSanitizer delivers signals late";
  }

  const inspection on;
};

/// A thread that works for a task below another one.
class digger {
 public:
  template <class Work>
  explicit digger(Work work)
      : thread_([work] {
          const task above(background(), outer, "above");
          const task below(background(), digging, "below");
          work();
        }) {
    EXPECT_TRUE(eventually([] { return id_of("dig") != 0; }));
  }
  digger(const digger&) = delete;
  digger& operator=(const digger&) = delete;
  ~digger() { thread_.join(); }

 private:
  std::thread thread_;
};

TEST_F(Stack, OfAThreadThatComputesHasFunctionsAndLines) {
  digs_on = true;
  const std::uint64_t before = dug;
  const digger at_it([] { dig_a_hole(); });
  EXPECT_TRUE(eventually([&] { return dug > before; }));
  const thread_stack at = stack_of("outer");  // one thread, which is at the task below
  digs_on = false;
  EXPECT_STREQ(at.kind, "dig");
  EXPECT_EQ(at.name, "below");
  EXPECT_NE(at.thread, 0);
  ASSERT_FALSE(at.frames.empty());
  // What it calls may stand above it.
  const auto hole =
      std::ranges::find_if(at.frames, [](const stack_frame& f) { return f.function.contains("dig_a_hole"); });
  ASSERT_NE(hole, at.frames.end());
  EXPECT_TRUE(hole->file.ends_with("stack_test.cpp")) << hole->file;
  EXPECT_NEAR(hole->line, line_of_the_hole, 2);
  EXPECT_TRUE(hole->module.contains("curfew_inspect_tests")) << hole->module;
  EXPECT_EQ(hole->address - hole->offset, reinterpret_cast<std::uintptr_t>(&dig_a_hole));
  EXPECT_FALSE(std::ranges::any_of(at.frames, [](const stack_frame& f) {
    return f.function.contains("_Unwind_Backtrace") || f.function.contains("question");
  })) << "the handler's own";
}

TEST_F(Stack, OfAThreadThatSleepsInTheKernelAndItsCallGoesOn) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  ssize_t got = -2;
  {
    const digger at_it([&] {
      char byte = 0;
      got = ::read(ends[0], &byte, 1);
    });
    for (int i = 0; i != 20; ++i) EXPECT_NE(stack_of("dig").thread, 0);
    EXPECT_TRUE(std::ranges::any_of(stack_of("dig").frames,
                                    [](const stack_frame& f) { return f.function.contains("read"); }));
    ::close(ends[1]);
  }
  ::close(ends[0]);
  EXPECT_EQ(got, 0);
}

TEST_F(Stack, OfAWaitOfTheLibraryWhichGoesOn) {
  auto scope = with_cancel(background());
  std::atomic<bool> over{false};
  {
    const digger at_it([&] {
      scope.ctx().done().wait();
      over = true;
    });
    for (int i = 0; i != 20; ++i) EXPECT_NE(stack_of("dig").thread, 0);
    EXPECT_FALSE(over);
    scope.cancel();
  }
  EXPECT_TRUE(over);
}

TEST_F(Stack, OfATaskWithoutAThreadIsNone) {
  const task here(background(), outer);
  std::thread([] { const task gone(background(), digging); }).join();
  EXPECT_FALSE(stacks_of(0));
  EXPECT_FALSE(stacks_of(1));
}

TEST_F(Stack, OfTheThreadThatAsks) {
  const task here(background(), digging, "asks");
  const auto found = stacks_of(id_of("dig"));
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1U);
  EXPECT_TRUE(std::ranges::any_of(found->front().frames,
                                  [](const stack_frame& f) { return f.function.contains("stacks_of"); }));
}

TEST_F(Stack, AThreadThatBlocksTheSignalIsSaidNotToAnswer) {
  std::atomic<bool> blocked{false};
  std::atomic<bool> goes_on{true};
  std::vector<thread_stack> late;
  {
    const digger at_it([&] {
      sigset_t all;
      sigset_t before;
      ::sigfillset(&all);
      ::pthread_sigmask(SIG_BLOCK, &all, &before);
      blocked = true;
      while (goes_on.load()) std::this_thread::sleep_for(1ms);
      ::pthread_sigmask(SIG_SETMASK, &before, nullptr);  // the questions come now, too late
    });
    EXPECT_TRUE(eventually([&] { return blocked.load(); }));
    late = *stacks_of(id_of("dig"));
    goes_on = false;
  }
  ASSERT_EQ(late.size(), 1U);
  EXPECT_TRUE(late.front().frames.empty());
  EXPECT_TRUE(late.front().error.starts_with("it does not answer: it blocks signal ")) << late.front().error;
}

TEST_F(Stack, ManyAskWhileThreadsComeAndGo) {
  std::atomic<bool> goes_on{true};
  std::vector<std::thread> all;
  for (int i = 0; i != 4; ++i) {
    all.emplace_back([&] {
      while (goes_on.load()) {
        std::thread([] {
          const task above(background(), outer);
          for (int n = 0; n != 200; ++n) const task below(background(), digging);
        }).join();
      }
    });
  }
  for (int i = 0; i != 3; ++i) {
    all.emplace_back([&] {
      while (goes_on.load()) {
        for (const auto& each : stacks_of(id_of("outer")).value_or(std::vector<thread_stack>())) {
          EXPECT_NE(each.error.empty(), each.frames.empty());
        }
      }
    });
  }
  std::this_thread::sleep_for(300ms);
  goes_on = false;
  for (auto& each : all) each.join();
}

}  // namespace
}  // namespace curfew::inspect
