#pragma once

#include <system_error>

namespace curfew {

/// Why an operation of the sync module did not happen, other than by the end of its context. As a condition,
/// `would_block` equals `std::errc::operation_would_block`, and is transient. `closed` is not: it stays so.
enum class sync_errc {
  closed = 1,       ///< The channel is closed.
  would_block = 2,  ///< A `try_` function would have had to wait.
};

/// The category of `sync_errc`; its name is "curfew.sync".
[[nodiscard]] const std::error_category& sync_category() noexcept;

[[nodiscard]] std::error_code make_error_code(sync_errc code) noexcept;

}  // namespace curfew

template <>
struct std::is_error_code_enum<curfew::sync_errc> : std::true_type {};
