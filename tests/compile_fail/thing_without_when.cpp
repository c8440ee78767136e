// What is not made by `when` would be ignored by a select.
// expect: each argument is a case
#include <curfew/sync/channel.hpp>
#include <curfew/sync/select.hpp>

void receive_if_there(curfew::channel<int>& numbers) {
#ifdef CURFEW_MUST_FAIL
  curfew::select(numbers.receiving(), curfew::otherwise([] {}));
#else
  curfew::select(curfew::when(numbers.receiving(), [] {}), curfew::otherwise([] {}));
#endif
}
