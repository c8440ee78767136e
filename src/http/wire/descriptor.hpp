#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string_view>
#include <utility>

namespace curfew::http {

/// Owns a descriptor of the system, and closes it.
class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(other.release()) {}
  descriptor& operator=(descriptor&& other) noexcept {
    descriptor taken(std::move(other));
    std::swap(fd_, taken.fd_);
    return *this;
  }
  ~descriptor() { close(); }

  /// -1: there is none.
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void close() noexcept {
    if (is_open()) ::close(release());
  }

 private:
  int fd_ = -1;
};

/// Writes to a file until `bytes` is empty; what is left in it has not been written.
/// \return false, with errno, if the system refuses.
[[nodiscard]] inline bool write_all(int file, std::string_view& bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t taken = ::write(file, bytes.data(), bytes.size());
    if (taken < 0 && errno == EINTR) continue;
    if (taken < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(taken));
  }
  return true;
}

}  // namespace curfew::http
