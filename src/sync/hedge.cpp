#include <curfew/core/errc.hpp>
#include <curfew/sync/hedge.hpp>

namespace curfew::detail {

const cause& hedge_is_decided() {
  static const auto* why =
      new cause(errc::canceled, "the other try has decided");  // never goes: for threads at exit
  return *why;
}

}  // namespace curfew::detail
