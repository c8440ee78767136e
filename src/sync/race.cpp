#include <curfew/core/errc.hpp>
#include <curfew/sync/race.hpp>
#include <stdexcept>

namespace curfew::detail {

void contest_base::note(error e) noexcept {
  const bool transient = e.transient();  // asks the category, which may be the user's: not under the lock
  std::optional<error> replaced(std::move(e));
  const std::lock_guard guard(mutex_);
  if (failed_ && (is_transient_ || !transient)) return;
  failed_.swap(replaced);
  is_transient_ = transient;
}

error contest_base::failure(const context& ctx, const char* doing) {
  // An error by the end of ctx says best what was being done.
  if (ctx.err())
    return error::ended(ctx, failed_ && failed_->code() == ctx.err() ? failed_->doing() : std::string(doing));
  return *std::move(failed_);
}

const cause& race_is_decided() {
  static const auto* why =
      new cause(errc::canceled, "the race is decided");  // never goes: for threads at exit
  return *why;
}

void throw_nobody_races() { throw std::invalid_argument("curfew::race: without a function nobody can win"); }

}  // namespace curfew::detail
