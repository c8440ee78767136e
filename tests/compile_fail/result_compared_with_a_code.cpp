// A code is the error's: an enumeration of codes would compare as a number with the value.
// expect: deleted
// expect: a result compares with a value; its error\(\) with a code
#include <boost/asio/error.hpp>
#include <curfew/core.hpp>

bool is_end(const curfew::result<std::size_t>& read) {
#ifdef CURFEW_MUST_FAIL
  return read == boost::asio::error::eof;
#else
  return !read && read.error() == boost::asio::error::eof;
#endif
}
