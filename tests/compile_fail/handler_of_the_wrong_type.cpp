// A handler takes what its case gives: of a receive that is an optional, because the channel may be closed.
// expect: the handler takes what the case gives
// expect: receiving: std::optional<T>
#include <curfew/sync.hpp>
#include <optional>
#include <string>

int main() {
  curfew::channel<std::string> lines(1);
  auto sent = lines.try_send("text");
  std::string got;
#ifdef CURFEW_MUST_FAIL
  curfew::select(curfew::when(lines.receiving(), [&](std::string line) { got = line; }));
#else
  curfew::select(curfew::when(lines.receiving(), [&](std::optional<std::string> line) { got = *line; }));
#endif
  return sent && got == "text" ? 0 : 1;
}
