#include <gtest/gtest.h>

#include <iostream>

#include "http/random_calls.hpp"
#include "race.hpp"

namespace curfew {
namespace {

// Hunts: the end of a call while its connection goes back to the pool, and what that leaves on the connection.
TEST(HttpClientStress, AnswersAreNobodyElses) {
  const auto seed = testing::announce_seed("canceled calls against the next calls of their connections");
  tests::random_calls calls(100'000, seed);
  calls.run();
  EXPECT_EQ(calls.answered() + calls.canceled(), 100'000u);
  EXPECT_GT(calls.answered(), 0u);
  EXPECT_GT(calls.canceled(), 0u);
  std::cout << calls.answered() << " answered, " << calls.canceled() << " canceled\n";
}

}  // namespace
}  // namespace curfew
