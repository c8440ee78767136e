#pragma once

#include <curfew/core/context.hpp>
#include <memory>
#include <utility>

#include "sql/postgres/connection.hpp"
#include "sql/postgres/janitor.hpp"

namespace curfew::sql::postgres {

/// A connection that a call or a transaction has. What is not clean goes to the janitor at its end.
class loan {
 public:
  loan(std::shared_ptr<janitor> by, lease of) noexcept : by_(std::move(by)), of_(std::move(of)) {}
  loan(loan&& other) noexcept = default;
  loan& operator=(loan&& other) noexcept = delete;
  ~loan() { give_back(); }

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(of_); }
  [[nodiscard]] connection& operator*() noexcept { return **of_; }
  [[nodiscard]] connection* operator->() noexcept { return of_->get(); }

  void give_back() noexcept;
  /// The janitor ends what runs, and says what has become of it.
  [[nodiscard]] std::shared_ptr<verdict> hand_over(const context& ctx);

 private:
  std::shared_ptr<janitor> by_;
  lease of_;
};

}  // namespace curfew::sql::postgres
