#pragma once

#include <filesystem>
#include <string>

#include "base/file_descriptor.hpp"

namespace curfew_dashboard {

/// A folder of this process alone in the system's folder for temporary files, removed with everything in it.
///
/// A process that is killed leaves its folder behind. The next one that makes a folder of the same purpose removes it: a
/// living process holds a lock on its own.
///
/// Throws: std::system_error.
class temporary_folder {
 public:
  /// \param purpose  The begin of the folder's name.
  explicit temporary_folder(const std::string& purpose);
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  ~temporary_folder();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  file_descriptor lock_;
};

}  // namespace curfew_dashboard
