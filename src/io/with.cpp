#include <boost/asio/error.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <curfew/io/with.hpp>
#include <exception>
#include <system_error>

namespace curfew::detail {

std::exception_ptr end_as<std::exception_ptr>::make(std::error_code ended) {
  return std::make_exception_ptr(boost::system::system_error(boost::system::error_code(ended)));
}

std::error_code end_as<std::exception_ptr>::code_of(const std::exception_ptr& thrown) noexcept {
  if (!thrown) return {};
  try {
    std::rethrow_exception(thrown);
  } catch (const boost::system::system_error& e) {
    return e.code();
  } catch (const std::system_error& e) {
    return e.code();
  } catch (...) {
    return {};
  }
}

bool is_aborted(std::error_code code) noexcept {
  return code == std::error_code(boost::system::error_code(boost::asio::error::operation_aborted));
}

}  // namespace curfew::detail
