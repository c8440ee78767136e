#pragma once

#include <curfew/core/context.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/error.hpp>
#include <functional>
#include <system_error>
#include <utility>

namespace curfew::testing {

/// What a task captures: calls `f` when the task is destroyed.
class farewell {
 public:
  explicit farewell(std::function<void()> f) : f_(std::move(f)) {}
  farewell(farewell&& other) noexcept : f_(std::exchange(other.f_, nullptr)) {}
  farewell& operator=(farewell&&) = delete;
  ~farewell() {
    if (f_) f_();
  }

 private:
  std::function<void()> f_;
};

inline error io_error(const char* doing = "reading") {
  return error(std::make_error_code(std::errc::io_error), doing);
}

/// Waits for the end of its context.
inline std::error_code until_the_end(const context& ctx) { return ctx.done().wait(); }

}  // namespace curfew::testing
