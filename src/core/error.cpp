#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <ostream>
#include <utility>

namespace curfew {

error::error(std::error_code code, std::string doing, curfew::cause why)
    : code_(code),
      doing_(std::move(doing)),
      cause_(std::move(why)) {}

error error::ended(const context& ctx, std::string doing) {
  return error(ctx.err(), std::move(doing), ctx.cause());
}

bool error::transient() const noexcept {
  for (const std::errc passing :
       {std::errc::timed_out, std::errc::connection_refused, std::errc::connection_reset,
        std::errc::connection_aborted, std::errc::broken_pipe, std::errc::host_unreachable,
        std::errc::network_unreachable, std::errc::network_down, std::errc::resource_unavailable_try_again,
        std::errc::too_many_files_open, std::errc::too_many_files_open_in_system,
        std::errc::no_buffer_space}) {
    if (code_ == passing) return true;
  }
  return false;
}

std::string error::message() const {
  std::string text = doing_;
  if (!text.empty()) text += ": ";
  text += code_.message();
  if (const std::string why = cause_.message(); !why.empty() && why != code_.message()) {
    text += " (cause: " + why + ")";
  }
  return text;
}

std::ostream& operator<<(std::ostream& out, const error& e) { return out << e.message(); }

}  // namespace curfew
