// A context is never made from something that happens to convert.
// expect: context.* (from|to) .*const char
#include <curfew/core.hpp>

using namespace std::chrono_literals;

int main() {
#ifdef CURFEW_MUST_FAIL
  auto scope = curfew::with_timeout("background", 1s);
#else
  auto scope = curfew::with_timeout(curfew::background(), 1s);
#endif
  return scope.err() ? 1 : 0;
}
