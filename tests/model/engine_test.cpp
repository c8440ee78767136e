#include "model/engine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "model/threads.hpp"

namespace {

using curfew::model::atomic;
using curfew::model::check;
using curfew::model::explore;
using curfew::model::options;
using curfew::model::outcome;
using curfew::model::parallel;
using curfew::model::plain;
using curfew::model::unbounded;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;

const options everything{.preemptions = unbounded, .stale_reads = unbounded, .spurious_failures = true};

// ---- how many executions there are, against a count by hand ----

std::uint64_t executions_of(options bounds, const std::function<void()>& body) {
  bounds.stale_reads = 0;
  const outcome found = explore(bounds, body);
  EXPECT_THAT(found.failure, IsEmpty());
  EXPECT_TRUE(found.exhausted);
  return found.executions;
}

template <int Steps>
void two_threads() {
  atomic<int> a{0};
  atomic<int> b{0};
  const auto steps_on = [](atomic<int>& x) {
    return [&x] {
      for (int i = 0; i != Steps; ++i) x.store(i, relaxed);
    };
  };
  parallel({steps_on(a), steps_on(b)});
}

TEST(Exploration, TakesEverySchedule) {
  EXPECT_EQ(executions_of(everything, two_threads<1>), 2);   // (2 over 1)
  EXPECT_EQ(executions_of(everything, two_threads<2>), 6);   // (4 over 2)
  EXPECT_EQ(executions_of(everything, two_threads<3>), 20);  // (6 over 3)
}

TEST(Exploration, CountsPreemptions) {
  EXPECT_EQ(executions_of({.preemptions = 0}, two_threads<2>), 2);  // aabb bbaa
  EXPECT_EQ(executions_of({.preemptions = 1}, two_threads<2>), 4);  // and abba baab
  EXPECT_EQ(executions_of({.preemptions = 2}, two_threads<2>), 6);  // and abab baba
}

TEST(Exploration, TakesEveryOrderOfFourThreads) {
  const auto orders = [] {
    atomic<int> a{0};
    const auto step = [&] { a.fetch_add(1); };
    parallel({step, step, step, step});
    check(a.load() == 4, "four steps");
  };
  EXPECT_EQ(executions_of({.preemptions = 0}, orders), 24);
}

TEST(Exploration, TakesEveryReadableStore) {
  const auto body = [] {
    atomic<int> a{0};
    parallel({[&] { a.store(1, relaxed); }, [&] { a.load(relaxed); }});
  };
  // The load before the store; after it, where it may read either value.
  EXPECT_EQ(explore(everything, body).executions, 3);
}

TEST(Exploration, AtRandomRepeatsAFailureFromItsSeed) {
  const auto body = [] {
    atomic<int> a{0};
    const auto increment = [&] { a.store(a.load(relaxed) + 1, relaxed); };
    parallel({increment, increment});
    check(a.load() == 2, "two increments");
  };
  const outcome found = explore({.executions = 1000, .seed = 7}, body);
  ASSERT_THAT(found.failure, HasSubstr("two increments"));
  const std::uint64_t seed = std::stoull(found.failure.substr(found.failure.rfind(' ')));
  EXPECT_THAT(explore({.executions = 1, .seed = seed}, body).failure, HasSubstr("two increments"));
}

TEST(Exploration, SaysThatABodyIsNotDeterministic) {
  int runs = 0;
  const outcome found = explore(everything, [&] {
    const bool more = ++runs > 2;
    atomic<int> a{0};
    parallel({[&] { a.store(1); }, [&] { a.store(2); },
              [&] {
                if (!more) a.store(3);
              }});
  });
  EXPECT_THAT(found.failure, HasSubstr("does not do the same"));
}

// ---- memory ----

template <std::memory_order Write, std::memory_order Read>
void message_passing() {
  plain<int> message = 0;
  atomic<bool> sent{false};
  parallel({[&] {
              message = 42;
              sent.store(true, Write);
            },
            [&] {
              if (sent.load(Read)) check(message == 42, "the message");
            }});
}

TEST(Memory, MessagePassingNeedsReleaseAndAcquire) {
  EXPECT_THAT((explore(everything, message_passing<release, acquire>).failure), IsEmpty());
  EXPECT_THAT((explore(everything, message_passing<relaxed, acquire>).failure), HasSubstr("data race"));
  EXPECT_THAT((explore(everything, message_passing<release, relaxed>).failure), HasSubstr("data race"));
}

TEST(Memory, ARelaxedFlagDoesNotBringAnAtomicMessage) {
  const auto body = [](std::memory_order write, std::memory_order read) {
    return [=] {
      atomic<int> message{0};
      atomic<bool> sent{false};
      parallel({[&] {
                  message.store(42, relaxed);
                  sent.store(true, write);
                },
                [&] {
                  if (sent.load(read)) check(message.load(relaxed) == 42, "the message");
                }});
    };
  };
  EXPECT_THAT(explore(everything, body(release, acquire)).failure, IsEmpty());
  EXPECT_THAT(explore(everything, body(relaxed, relaxed)).failure, HasSubstr("the message"));
}

TEST(Memory, AReadModifyWritePassesARelease) {
  const auto body = [](auto in_between) {
    return [=] {
      plain<int> message = 0;
      atomic<int> sent{0};
      parallel({[&] {
                  message = 42;
                  sent.store(1, release);
                },
                [&] { in_between(sent); },
                [&] {
                  if (sent.load(acquire) == 3) check(message == 42, "the message");
                }});
    };
  };
  EXPECT_THAT(explore(everything, body([](atomic<int>& sent) { sent.fetch_or(2, relaxed); })).failure,
              IsEmpty());
  const outcome broken = explore(everything, body([](atomic<int>& sent) {
                                   if (sent.load(relaxed) == 1) sent.store(3, relaxed);
                                 }));
  EXPECT_THAT(broken.failure, HasSubstr("data race"));
}

template <std::memory_order Write, std::memory_order Read>
void dekker() {
  atomic<int> a{0};
  atomic<int> b{0};
  plain<int> saw_a = 0;
  plain<int> saw_b = 0;
  parallel({[&] {
              a.store(1, Write);
              saw_b = b.load(Read);
            },
            [&] {
              b.store(1, Write);
              saw_a = a.load(Read);
            }});
  check(saw_a == 1 || saw_b == 1, "one sees the other");
}

TEST(Memory, StoreBuffersNeedSeqCst) {
  constexpr auto seq_cst = std::memory_order_seq_cst;
  EXPECT_THAT((explore(everything, dekker<release, acquire>).failure), HasSubstr("one sees the other"));
  EXPECT_THAT((explore(everything, dekker<seq_cst, seq_cst>).failure), IsEmpty());
}

TEST(Memory, OneLocationIsReadInOneDirection) {
  const outcome found = explore(everything, [] {
    atomic<int> a{0};
    parallel({[&] {
                a.store(1, relaxed);
                a.store(2, relaxed);
              },
              [&] {
                const int first = a.load(relaxed);
                const int second = a.load(relaxed);
                check(first <= second, "never back");
              }});
  });
  EXPECT_THAT(found.failure, IsEmpty());
  EXPECT_TRUE(found.exhausted);
}

template <std::memory_order Lock, std::memory_order Unlock>
void test_and_set_lock() {
  atomic<bool> locked{false};
  plain<int> count = 0;
  const auto body = [&] {
    while (locked.exchange(true, Lock)) curfew::model::relax();
    count = count + 1;
    locked.store(false, Unlock);
  };
  parallel({body, body, body});
  check(count == 3, "each has counted");
}

TEST(Memory, ATestAndSetLockNeedsAcquireAndRelease) {
  const outcome good = explore(everything, test_and_set_lock<acquire, release>);
  EXPECT_THAT(good.failure, IsEmpty());
  EXPECT_TRUE(good.exhausted);
  EXPECT_THAT((explore(everything, test_and_set_lock<relaxed, release>).failure), HasSubstr("data race"));
  EXPECT_THAT((explore(everything, test_and_set_lock<acquire, relaxed>).failure), HasSubstr("data race"));
}

TEST(Memory, AWeakExchangeMayFailForNoReason) {
  const auto body = [] {
    atomic<int> a{0};
    int zero = 0;
    check(a.compare_exchange_weak(zero, 1, relaxed), "the exchange");
  };
  EXPECT_THAT(explore({.spurious_failures = false}, body).failure, IsEmpty());
  EXPECT_THAT(explore({.spurious_failures = true}, body).failure, HasSubstr("the exchange"));
}

// ---- lifetime ----

struct counted {
  atomic<int> refs{2};
  plain<int> data = 0;
};

template <std::memory_order Drop>
void last_reference() {
  auto* shared = new counted;
  const auto body = [=] {
    std::ignore = static_cast<int>(shared->data);
    if (shared->refs.fetch_sub(1, Drop) == 1) delete shared;
  };
  parallel({body, body});
}

TEST(Lifetime, TheLastReferenceNeedsAcquireAndRelease) {
  EXPECT_THAT(explore(everything, last_reference<std::memory_order_acq_rel>).failure, IsEmpty());
  EXPECT_THAT(explore(everything, last_reference<release>).failure, HasSubstr("data race"));
  EXPECT_THAT(explore(everything, last_reference<acquire>).failure, HasSubstr("data race"));
}

TEST(Lifetime, UseAfterFreeIsFound) {
  const outcome found = explore(everything, [] {
    auto* shared = new counted;
    atomic<bool> gone{false};
    parallel({[&] {
                gone.store(true, release);
                delete shared;
              },
              [&] {
                if (!gone.load(acquire)) shared->refs.load(relaxed);
              }});
  });
  EXPECT_THAT(found.failure,
              testing::AnyOf(HasSubstr("use after free"), HasSubstr("destroyed, but not after a use")));
}

TEST(Lifetime, UseAfterFreeInOneThreadIsFound) {
  const outcome found = explore(everything, [] {
    auto shared = std::make_unique<counted>();
    counted* volatile kept = shared.get();  // volatile: compilers find it, too
    shared.reset();
    kept->data = 1;
  });
  EXPECT_THAT(found.failure, HasSubstr("use"));
}

TEST(Lifetime, ADoubleDeleteIsFound) {
  const outcome found = explore(everything, [] {
    auto* twice = new int(1);  // NOLINT
    atomic<bool> deleted{false};
    const auto body = [&] {
      if (!deleted.load(acquire)) {
        deleted.store(true, release);
        delete twice;
      }
    };
    parallel({body, body});
  });
  EXPECT_THAT(found.failure, HasSubstr("double delete"));
}

TEST(Lifetime, ALeakIsFound) {
  const outcome found = explore(everything, [] {
    atomic<int> refs{2};
    auto* shared = new int(1);
    const auto body = [&, shared] {
      if (refs.load(relaxed) == 1) {
        delete shared;
      } else {
        refs.store(1, relaxed);
      }
    };
    parallel({body, body});
  });
  EXPECT_THAT(found.failure, HasSubstr("leak: block 1 (4 bytes)"));
}

TEST(Lifetime, WhatTheFirstRunMakesForGoodIsNoLeak) {
  const outcome found = explore(everything, [] {
    static auto* const once = new counted;
    parallel({[&] { once->refs.fetch_add(1); }, [&] { once->refs.fetch_add(1); }});
  });
  EXPECT_THAT(found.failure, IsEmpty());
}

// ---- waiting ----

TEST(Waiting, ALostWakeUpIsADeadlock) {
  const auto body = [](bool told) {
    return [=] {
      atomic<int> ready{0};
      parallel({[&] { ready.wait(0, acquire); },
                [&] {
                  ready.store(1, release);
                  if (told) ready.notify_one();
                }});
    };
  };
  EXPECT_THAT(explore(everything, body(true)).failure, IsEmpty());
  EXPECT_THAT(explore(everything, body(false)).failure,
              AllOf(HasSubstr("deadlock"), HasSubstr("thread 1 sleeps")));
}

TEST(Waiting, NotifyOneWakesOne) {
  const outcome found = explore(everything, [] {
    atomic<int> ready{0};
    const auto wait = [&] { ready.wait(0, acquire); };
    parallel({wait, wait, [&] {
                ready.store(1, release);
                ready.notify_one();
              }});
  });
  EXPECT_THAT(found.failure, HasSubstr("deadlock"));
}

TEST(Waiting, AWakeUpGoesByTheAddressAlone) {
  const auto body = [](bool told) {
    return [=] {
      auto word = std::make_unique<atomic<int>>(0);
      const void* address = word.get();
      parallel({[&] {
                  word->wait(0, acquire);
                  word.reset();  // it may have looked before it is woken
                },
                [&] {
                  word->store(1, release);
                  if (told) curfew::model::notify_at(address);
                }});
    };
  };
  EXPECT_THAT(explore(everything, body(true)).failure, IsEmpty());
  EXPECT_THAT(explore(everything, body(false)).failure, HasSubstr("deadlock"));
}

TEST(Waiting, LocksInTwoOrdersAreADeadlock) {
  const auto body = [](bool same_order) {
    return [=] {
      atomic<bool> a{false};
      atomic<bool> b{false};
      const auto both = [](atomic<bool>& first, atomic<bool>& second) {
        for (auto* each : {&first, &second}) {
          while (each->exchange(true, acquire)) curfew::model::relax();
        }
        second.store(false, release);
        first.store(false, release);
      };
      parallel({[&] { both(a, b); }, [&] { same_order ? both(a, b) : both(b, a); }});
    };
  };
  EXPECT_THAT(explore(everything, body(true)).failure, IsEmpty());
  EXPECT_THAT(explore(everything, body(false)).failure, AllOf(HasSubstr("deadlock"), HasSubstr("spins")));
}

TEST(Waiting, ALoopThatDoesNotRelaxIsEndless) {
  const outcome found = explore({.steps = 1000}, [] {
    atomic<bool> go{false};
    parallel({[&] {
                while (!go.load(acquire)) {
                }
              },
              [&] { go.store(true, release); }});
  });
  EXPECT_THAT(found.failure, HasSubstr("endless"));
}

TEST(Waiting, ASpinningThreadSeesAStoreInTheEnd) {
  const outcome found = explore(everything, [] {
    atomic<bool> go{false};
    parallel({[&] {
                while (!go.load(relaxed)) curfew::model::relax();
              },
              [&] { go.store(true, relaxed); }});
  });
  EXPECT_THAT(found.failure, IsEmpty());
  EXPECT_TRUE(found.exhausted);
}

TEST(Waiting, ARoomTellsOfAChange) {
  const auto body = [](bool told) {
    return [=] {
      curfew::detail::threads::waiting_room room;
      atomic<bool> changed{false};
      plain<int> data = 0;
      parallel({[&] {
                  room.wait([&] { return changed.load(acquire); });
                  check(data == 1, "what came before the change");
                },
                [&] {
                  data = 1;
                  changed.store(true, release);
                  if (told) room.tell();
                }});
    };
  };
  EXPECT_THAT(explore(everything, body(true)).failure, IsEmpty());
  EXPECT_THAT(explore(everything, body(false)).failure, HasSubstr("deadlock"));
}

// ---- reports ----

TEST(Report, ShowsTheSchedule) {
  const outcome found = explore(everything, [] {
    atomic<int> a{0};
    parallel({[&] { a.store(7, release); }, [&] { check(a.load(acquire) != 7, "not seven"); }});
  });
  EXPECT_THAT(found.failure, StartsWith("thread 2: check failed: not seven [engine_test.cpp:"));
  EXPECT_THAT(found.trace, HasSubstr("T1 stores to object 1: 7 release   [engine_test.cpp:"));
  EXPECT_THAT(found.trace, HasSubstr("T2 loads object 1: 7 acquire   [engine_test.cpp:"));
}

TEST(Report, ACrashAndAnExceptionAreFailures) {
  EXPECT_THAT(explore(everything, [] { throw std::runtime_error("boo"); }).failure, HasSubstr("boo"));
  EXPECT_THAT(explore(everything, [] { *static_cast<volatile int*>(nullptr) = 1; }).failure,
              HasSubstr("SEGV"));
  EXPECT_THAT(explore(everything, [] { std::abort(); }).failure, HasSubstr("ABRT"));
}

// ---- the types ----

struct pair_of {
  int a;
  int b;
};

TEST(Plain, IsUsedAsWhatItHolds) {
  plain<int*> p = nullptr;
  int one = 1;
  EXPECT_EQ(p, nullptr);
  p = &one;
  EXPECT_EQ(*p, 1);
  plain<int*> q = p;
  EXPECT_EQ(p, q);
  EXPECT_EQ(std::exchange(q, nullptr), &one);
  std::swap(p, q);
  EXPECT_FALSE(p);
  EXPECT_EQ(q, &one);
  const plain<pair_of> both = pair_of{1, 2};
  EXPECT_EQ(both->b, 2);
}

TEST(Atomic, IsAVariableOutsideOfAnExploration) {
  static constinit atomic<bool> flag{true};
  static constinit atomic<int*> pointer{nullptr};
  static constinit atomic<int> number{-1};
  EXPECT_TRUE(flag);
  EXPECT_EQ(pointer.load(), nullptr);
  EXPECT_EQ(number.exchange(3), -1);
  EXPECT_EQ(number.fetch_sub(5), 3);
  EXPECT_EQ(number.fetch_and(0xF), -2);
  int expected = 1;
  EXPECT_FALSE(number.compare_exchange_strong(expected, 2));
  EXPECT_EQ(expected, 14);
  EXPECT_TRUE(number.compare_exchange_weak(expected, 2, acquire));
  EXPECT_EQ(number, 2);
}

}  // namespace
