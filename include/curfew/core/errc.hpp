#pragma once

#include <system_error>

namespace curfew {

/// Why an operation or a context ended. As conditions, `canceled` equals
/// `std::errc::operation_canceled` and `deadline_exceeded` equals `std::errc::timed_out`.
enum class errc {
  canceled = 1,           ///< It was canceled, or the scope that owned it was destroyed.
  deadline_exceeded = 2,  ///< Its deadline, or an ancestor's, has passed.
};

/// The category of `errc`; its name is "curfew".
[[nodiscard]] const std::error_category& curfew_category() noexcept;

[[nodiscard]] std::error_code make_error_code(errc code) noexcept;

}  // namespace curfew

template <>
struct std::is_error_code_enum<curfew::errc> : std::true_type {};
