#pragma once

/// What the snippets of sql may name.

#include <array>
#include <curfew/core.hpp>
#include <curfew/sql.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "docs/common.hpp"

namespace docs {

namespace sql = curfew::sql;

struct person {
  std::int64_t id;
  std::string name;
};
struct item {
  std::string name;
  int count;
};
struct order {
  std::int64_t id;
  std::vector<item> items;
};
inline constexpr curfew::key<std::string> user_name{"user name"};

extern sql::pool db;
extern const int id;

}  // namespace docs
