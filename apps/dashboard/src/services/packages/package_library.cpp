#include "services/packages/package_library.hpp"

#include <cerrno>
#include <chrono>
#include <curfew/sync/sleep.hpp>
#include <exception>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "services/work.hpp"

namespace curfew_dashboard {

namespace {

constexpr std::chrono::seconds pause = std::chrono::seconds(1);

failure not_made(const std::string& why, const char* code) {
  return {code, to_utf8("The database of packages could not be made: " + why).text};
}

std::expected<std::vector<installed_package>, failure> read_packages(const std::string& status_file) {
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
  return packages;
}

}  // namespace

package_library::package_library(std::string status_file, std::string url)
    : making_(curfew::with_cancel(curfew::background())),
      maker_([this, status_file = std::move(status_file), url = std::move(url)] { make(status_file, url); }) {
}

package_library::~package_library() { making_.cancel("the service stops"); }

void package_library::make(const std::string& status_file, const std::string& url) noexcept {
  try {
    const auto packages = read_packages(status_file);
    if (!packages) return publish(std::unexpected(packages.error()));
    for (;;) {
      auto made = package_database::make(making_, *packages, url);
      if (made) return publish(*std::move(made));
      const bool again = made.error().transient();
      publish(std::unexpected(not_made(made.error().message(), again ? "unavailable" : "internal")));
      if (!again || !curfew::sleep_for(making_, pause)) return;
    }
  } catch (const std::exception& e) {
    publish(std::unexpected(not_made(e.what(), "internal")));
  }
}

void package_library::publish(database made) noexcept {
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
