// An error is compared with what it may be: a number says nothing of its category.
// expect: deleted
// expect: an error compares with an error code or condition
// at most: 50 lines
#include <curfew/core.hpp>

bool is_five(const curfew::result<int>& read) {
#ifdef CURFEW_MUST_FAIL
  return read.error() == 5;
#else
  return read.error() == std::errc::io_error;
#endif
}
