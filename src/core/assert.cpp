#include <cstdio>
#include <curfew/core/detail/assert.hpp>
#include <exception>

namespace curfew::detail {

void broken_contract(const char* what, std::source_location where) noexcept {
  std::fprintf(stderr, "%s:%u: curfew: broken contract: %s\n", where.file_name(),
               static_cast<unsigned>(where.line()), what);
  std::terminate();
}

}  // namespace curfew::detail
