#pragma once

#include <curfew/core/context.hpp>
#include <memory>
#include <utility>

namespace curfew::testing {

/// Tells whether a place in the tree is gone, which no context can tell: a value above it goes with it.
class witness {
 public:
  /// A context below `above`; what is derived from it is watched.
  [[nodiscard]] context watch(const context& above) {
    auto kept = std::make_shared<int>();
    value_ = kept;
    return with_value(above, seen, std::move(kept));
  }

  [[nodiscard]] bool is_gone() const { return value_.expired(); }

 private:
  static constexpr key<std::shared_ptr<int>> seen{"witness"};

  std::weak_ptr<int> value_;
};

}  // namespace curfew::testing
