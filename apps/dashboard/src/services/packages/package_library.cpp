#include "services/packages/package_library.hpp"

#include <cerrno>
#include <exception>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "base/text.hpp"
#include "services/work.hpp"

namespace curfew_dashboard {

namespace {

failure not_made(const std::string& why) {
  return {"internal", to_utf8("The database of packages could not be made: " + why).text};
}

package_library::database make_database(const curfew::context& ctx, const std::string& status_file) {
  errno = 0;
  std::ifstream file(status_file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) {
    const std::string why = errno == 0 ? "cannot be read" : std::generic_category().message(errno);
    return std::unexpected(
        failure{"unavailable", "The list of installed packages is missing: " + to_utf8(status_file).text +
                                   ": " + why + ". It is there where packages are installed with dpkg."});
  }
  auto packages = parse_dpkg_status(text);
  if (packages.empty()) {
    return std::unexpected(
        failure{"unavailable", to_utf8(status_file).text + " lists no installed package."});
  }
  auto made = package_database::make(ctx, packages);
  if (!made) return std::unexpected(not_made(made.error().message()));
  return *std::move(made);
}

}  // namespace

package_library::package_library(std::string status_file)
    : making_(curfew::with_cancel(curfew::background())),
      maker_([this, status_file = std::move(status_file)] { make(status_file); }) {}

package_library::~package_library() { making_.cancel("the service stops"); }

void package_library::make(const std::string& status_file) noexcept {
  database made = std::unexpected(failure{});
  try {
    made = make_database(making_, status_file);
  } catch (const std::exception& e) {
    made = std::unexpected(not_made(e.what()));
  }
  {
    const std::lock_guard guard(mutex_);
    database_ = std::move(made);
  }
  ready_.notify_all();
}

package_library::database package_library::get(const curfew::context& ctx) {
  auto lock = mutex_.acquire(ctx);
  if (!lock || !ready_.wait(ctx, *lock, [this] { return database_.has_value(); }))
    return std::unexpected(ended_failure(ctx));
  return *database_;
}

}  // namespace curfew_dashboard
