// Each answer is that of its own request.
#include <gtest/gtest.h>

#include <iostream>

#include "http/random_calls.hpp"
#include "race.hpp"

namespace curfew::http {
namespace {

// Hunts: the end of a call while its connection goes back to the pool, and what that leaves on the connection. The
// stress test of the same name makes 100,000 calls.
TEST(ClientAnswers, AreNobodyElses) {
  const auto seed =
      curfew::testing::announce_seed("canceled calls against the next calls of their connections");
  tests::random_calls calls(2000, seed);
  calls.run();
  EXPECT_EQ(calls.answered() + calls.canceled(), 2000u);
  EXPECT_GT(calls.answered(), 0u);
  std::cout << calls.answered() << " answered, " << calls.canceled() << " canceled\n";
}

}  // namespace
}  // namespace curfew::http
