#include <curfew/core/detail/random.hpp>

#include <random>

namespace curfew::detail {

std::uint64_t random_number() {
  std::random_device source;
  return std::uint64_t{source()} << 32U | source();
}

}  // namespace curfew::detail
