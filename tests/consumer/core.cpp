#include <chrono>
#include <curfew/core.hpp>
#include <iostream>

int main() {
  auto scope = curfew::with_timeout(curfew::background(), std::chrono::hours(1));
  const curfew::context ctx = scope;
  scope.cancel();
  std::cout << "core: " << ctx.err().message() << '\n';
  return ctx.err() == std::errc::operation_canceled ? 0 : 1;
}
