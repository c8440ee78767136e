// What a select does where nothing can happen stands at its end, where the reader looks for it.
// expect: `otherwise` is the last argument
#include <curfew/sync.hpp>

int main() {
  curfew::channel<int> items(1);
  int got = 0;
#ifdef CURFEW_MUST_FAIL
  curfew::select(curfew::otherwise([&] { got = 1; }), curfew::when(items.receiving(), [&] { got = 2; }));
#else
  curfew::select(curfew::when(items.receiving(), [&] { got = 2; }), curfew::otherwise([&] { got = 1; }));
#endif
  return got == 1 ? 0 : 1;
}
