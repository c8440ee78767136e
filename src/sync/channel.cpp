#include <curfew/sync/channel.hpp>

namespace curfew::detail {

std::unexpected<error> closed_channel(const char* doing) {
  return std::unexpected(error(make_error_code(sync_errc::closed), doing));
}

std::unexpected<error> full_channel(const char* doing) {
  return std::unexpected(error(make_error_code(sync_errc::would_block), doing));
}

std::unexpected<error> ended_channel(const context& ctx, const char* doing) {
  return std::unexpected(error::ended(ctx, doing));
}

}  // namespace curfew::detail
