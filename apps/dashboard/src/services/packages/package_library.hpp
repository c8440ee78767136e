#pragma once

#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/context.hpp>
#include <curfew/sync/condition.hpp>
#include <curfew/sync/mutex.hpp>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/panel_lines.hpp"
#include "services/packages/package_database.hpp"

namespace curfew_dashboard {

/// Makes the database of the installed packages in the background, once.
/// Thread safety: any thread.
class package_library {
 public:
  using database = std::expected<std::shared_ptr<package_database>, failure>;

  /// \param status_file  "/var/lib/dpkg/status"
  /// \param url          Of the database that is filled; empty: a file of its own. One that cannot be reached is tried
  ///                     again, each second.
  explicit package_library(std::string status_file, std::string url = {});
  package_library(const package_library&) = delete;
  package_library& operator=(const package_library&) = delete;
  /// Ends the making.
  ~package_library();

  /// Waits for the database.
  /// Errors: the end of ctx; why it could not be made.
  [[nodiscard]] database get(const curfew::context& ctx);

 private:
  void make(const std::string& status_file, const std::string& url) noexcept;
  void publish(database made) noexcept;

  curfew::cancel_scope making_;
  curfew::mutex mutex_;
  curfew::condition ready_;
  std::optional<database> database_;  // guarded by mutex_
  std::jthread maker_;                // last: uses all of the above
};

}  // namespace curfew_dashboard
