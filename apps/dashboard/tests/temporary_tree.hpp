#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace curfew_dashboard::tests {

/// A directory of its own, removed with everything in it.
class temporary_tree {
 public:
  temporary_tree() {
    std::string pattern = (std::filesystem::temp_directory_path() / "curfew-tree-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    root_ = pattern;
  }
  temporary_tree(const temporary_tree&) = delete;
  temporary_tree& operator=(const temporary_tree&) = delete;
  ~temporary_tree() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }

  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] std::string path(std::string_view name) const { return root_ + '/' + std::string(name); }

  /// Writes a file, and the directories that lead to it. \return its path.
  std::string write(std::string_view name, std::string_view content) const {
    const std::string at = path(name);
    std::filesystem::create_directories(std::filesystem::path(at).parent_path());
    std::ofstream file(at, std::ios::binary);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    if (!file.flush()) throw std::runtime_error("cannot write " + at);
    return at;
  }

 private:
  std::string root_;
};

}  // namespace curfew_dashboard::tests
