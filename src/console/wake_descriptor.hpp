#pragma once

namespace curfew::inspect {

/// A descriptor (eventfd) that one side makes readable and the other polls.
class wake_descriptor {
 public:
  /// Throws: std::system_error.
  wake_descriptor();
  wake_descriptor(const wake_descriptor&) = delete;
  wake_descriptor& operator=(const wake_descriptor&) = delete;
  ~wake_descriptor();

  [[nodiscard]] int get() const noexcept { return fd_; }
  void notify() const noexcept { notify(fd_); }
  void clear() const noexcept { clear(fd_); }

  /// Async-signal-safe.
  static void notify(int fd) noexcept;
  static void clear(int fd) noexcept;

 private:
  int fd_;
};

}  // namespace curfew::inspect
