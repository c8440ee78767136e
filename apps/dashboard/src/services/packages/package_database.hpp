#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "services/packages/dpkg_status.hpp"
#include "services/packages/sqlite.hpp"

namespace curfew_dashboard {

/// The installed packages as a database that never changes: a temporary file, which is deleted as soon as it
/// is open and so is gone with the process, however that ends. Each request opens a connection of its own,
/// which reads the file's pages where they are in memory.
///
///     package(id, name, version, section, size, description)
///     edge(package, needs)      package depends on needs, by its name or by what it provides;
///                               all that satisfy
///     top(id)                   packages that no other needs
///
/// Throws: sqlite_error, std::system_error.
/// Thread safety: any thread.
class package_database {
 public:
  explicit package_database(const std::vector<installed_package>& packages);
  package_database(const package_database&) = delete;
  package_database& operator=(const package_database&) = delete;

  /// A connection that reads it. Lifetime: the database outlives it.
  [[nodiscard]] sqlite_connection open() const;

 private:
  struct unmap {
    std::size_t size;
    void operator()(unsigned char* pages) const noexcept;
  };
  std::unique_ptr<unsigned char, unmap> pages_;
};

}  // namespace curfew_dashboard
