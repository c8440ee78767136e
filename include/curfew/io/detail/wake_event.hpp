#pragma once

namespace curfew::detail {

/// A descriptor (eventfd) that one thread makes readable, to end another one's poll().
/// Thread safety: any thread.
class wake_event {
 public:
  /// Throws: std::system_error.
  wake_event();
  wake_event(const wake_event&) = delete;
  wake_event& operator=(const wake_event&) = delete;
  ~wake_event();

  [[nodiscard]] int fd() const noexcept { return fd_; }
  void set() const noexcept;
  void clear() const noexcept;

 private:
  int fd_;
};

}  // namespace curfew::detail
