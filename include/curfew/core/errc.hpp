#pragma once

#include <system_error>

namespace curfew {

/// Why a context ended: the first two. And why an operation did not happen: all of them. As conditions, `canceled`
/// equals `std::errc::operation_canceled`, `deadline_exceeded` equals `std::errc::timed_out` and `would_block` equals
/// `std::errc::operation_would_block`.
enum class errc {
  canceled = 1,           ///< It was canceled, or the scope that owned it was destroyed.
  deadline_exceeded = 2,  ///< Its deadline, or an ancestor's, has passed.
  closed = 3,             ///< The channel is closed. It stays so: not transient.
  would_block = 4,        ///< A `try_` function would have had to wait. Transient.
};

/// The category of `errc`; its name is "curfew".
[[nodiscard]] const std::error_category& curfew_category() noexcept;

[[nodiscard]] std::error_code make_error_code(errc code) noexcept;

}  // namespace curfew

template <>
struct std::is_error_code_enum<curfew::errc> : std::true_type {};
