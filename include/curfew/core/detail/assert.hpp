#pragma once

#include <source_location>

namespace curfew::detail {

/// Writes "file:line: curfew: broken contract: <what>" to standard error and terminates.
[[noreturn]] void broken_contract(const char* what,
                                  std::source_location where = std::source_location::current()) noexcept;

}  // namespace curfew::detail

/// Terminates unless `condition` holds: for contracts that the caller has broken, in every kind of build.
/// \param what  Says what was broken, and by whom: "semaphore: more was released than acquired".
#define CURFEW_ASSERT(condition, what) \
  ((condition) ? static_cast<void>(0) : ::curfew::detail::broken_contract(what))
