// An item must not be lost between two parties because its move threw.
// expect: T has to be movable without throwing
// expect: put a std::unique_ptr around it
#include <curfew/sync.hpp>
#include <memory>

struct may_throw {
  may_throw() = default;
  may_throw(may_throw&&) {}
};

int main() {
#ifdef CURFEW_MUST_FAIL
  curfew::channel<may_throw> items;
#else
  curfew::channel<std::unique_ptr<may_throw>> items;
#endif
  return items.closed() ? 1 : 0;
}
