#pragma once

#include <cstddef>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/text.hpp>
#include <string>
#include <utility>
#include <vector>

namespace curfew::sql {

/// Statements that go to the database together: in one round trip to PostgreSQL, and all of them or none.
///
///     sql::batch all;
///     all.add("insert into users (id, name) values ($1, $2)", 1, "Ann");
///     all.add("insert into users (id, name) values ($1, $2)", 2, "Bob");
///     auto done = db.run_batch(ctx, all);
///
/// Texts and values are copied. It may be run several times.
class batch {
 public:
  template <class... Values>
  batch& add(text what, const Values&... values) {
    all_.push_back({std::string(what.view()), parameters(values...)});
    return *this;
  }

  [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
  [[nodiscard]] bool empty() const noexcept { return all_.empty(); }

  struct statement {
    std::string text;
    parameters with;
  };
  [[nodiscard]] const std::vector<statement>& all() const noexcept { return all_; }

 private:
  std::vector<statement> all_;
};

}  // namespace curfew::sql
