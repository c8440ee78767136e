#include <curfew/core/errc.hpp>
#include <curfew/sync/detail/channel_waits.hpp>

namespace curfew::detail {

std::unexpected<error> closed_channel(const char* doing) {
  return std::unexpected(error(errc::closed, doing));
}

std::unexpected<error> full_channel(const char* doing) {
  return std::unexpected(error(errc::would_block, doing));
}

}  // namespace curfew::detail
