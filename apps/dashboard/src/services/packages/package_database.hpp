#pragma once

#include <curfew/core/context.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/pool.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/temporary_folder.hpp"
#include "services/packages/dpkg_status.hpp"

namespace curfew_dashboard {

namespace sql = curfew::sql;

/// The installed packages as a database that never changes. Where it was not told which, it is a file of SQLite's in a
/// temporary folder that goes with it. In another one its tables take the place of those that were there.
///
///     curfew_package(id, name, version, section, size, description)
///     curfew_edge(package, needs)   package depends on needs, by its name or by what it provides; all that satisfy
///     curfew_top(id)                packages that no other needs
///
/// Thread safety: any thread.
class package_database {
 public:
  /// \param url  As sql::pool takes it; empty: a file of its own.
  /// Errors: the end of ctx; what the database says. Throws: std::system_error.
  [[nodiscard]] static sql::result<std::shared_ptr<package_database>> make(
      const curfew::context& ctx, const std::vector<installed_package>& packages,
      const std::string& url = {});
  package_database(const package_database&) = delete;
  package_database& operator=(const package_database&) = delete;

  /// A connection that reads it.
  [[nodiscard]] sql::result<sql::transaction> read(const curfew::context& ctx);

 private:
  explicit package_database(const std::string& url);

  std::optional<temporary_folder> folder_;
  sql::pool pool_;
};

}  // namespace curfew_dashboard
