// A key says the type of its values; a value of another type is refused.
// expect: with_value
// expect: conversion from 'const char.*int'
#include <curfew/core.hpp>

inline constexpr curfew::key<int> attempt{"attempt"};

int main() {
#ifdef CURFEW_MUST_FAIL
  auto ctx = curfew::with_value(curfew::background(), attempt, "text");
#else
  auto ctx = curfew::with_value(curfew::background(), attempt, 3);
#endif
  return ctx.value(attempt) == nullptr ? 1 : 0;
}
