#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <curfew/core/error.hpp>
#include <span>
#include <string>

#include "http/wire/descriptor.hpp"

namespace curfew::http {

/// An open file that has bytes and an end: no directory, pipe or device.
struct regular_file {
  descriptor file;
  struct stat about{};

  [[nodiscard]] std::uint64_t size() const noexcept { return static_cast<std::uint64_t>(about.st_size); }

  /// Opens it to be read. Does not wait, as the opening of a pipe would.
  static result<regular_file> open(const std::string& path);
  /// A path below the folder, which leads out of it by nothing.
  static result<regular_file> open_below(const std::string& folder, const std::string& path);
};

/// The body of a response that is a part of a file.
struct file_body {
  regular_file from;
  std::string path;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// What is still to be sent of a file.
struct file_rest {
  int file = -1;
  std::uint64_t offset = 0;
  std::uint64_t left = 0;
  int failure = 0;  ///< errno of the file; EIO: it has become shorter.
};

/// As pread(), again where a signal has cut in.
[[nodiscard]] ssize_t read_at(int file, std::span<char> into, std::uint64_t offset) noexcept;

}  // namespace curfew::http
