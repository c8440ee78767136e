#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace curfew_dashboard {

/// A fixed number of places, for what must not pile up.
/// Thread safety: any thread. A place may outlive the object it was taken from.
class places {
 public:
  /// Taken from its construction to its destruction.
  class place {
   public:
    explicit place(std::shared_ptr<std::atomic<std::size_t>> taken) noexcept : taken_(std::move(taken)) {}
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    ~place() { --*taken_; }

   private:
    std::shared_ptr<std::atomic<std::size_t>> taken_;
  };

  explicit places(std::size_t most) : most_(most) {}

  [[nodiscard]] std::size_t most() const noexcept { return most_; }

  /// Null if all are taken. The place is free again when the last copy of the pointer is gone.
  [[nodiscard]] std::shared_ptr<place> try_take() {
    auto made = std::make_shared<place>(taken_);
    return ++*taken_ <= most_ ? made : nullptr;
  }

 private:
  const std::size_t most_;
  const std::shared_ptr<std::atomic<std::size_t>> taken_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace curfew_dashboard
