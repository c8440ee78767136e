#include "sql/postgres/loan.hpp"

#include <memory>
#include <utility>

namespace curfew::sql::postgres {

void loan::give_back() noexcept {
  if (!of_) return;
  connection& on = **of_;
  if (on.is_broken()) {
    of_.discard();
  } else if (on.is_idle() && !on.in_transaction()) {
    const lease back(std::move(of_));
  } else {
    by_->take(std::move(of_));
  }
}

std::shared_ptr<verdict> loan::hand_over(const context& ctx) {
  auto waits = std::make_shared<verdict>(ctx);
  by_->take(std::move(of_), waits);
  return waits;
}

}  // namespace curfew::sql::postgres
