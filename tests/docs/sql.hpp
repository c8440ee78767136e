#pragma once

/// What the snippets of sql may name.

#include <curfew/core.hpp>
#include <curfew/sql.hpp>
#include <iostream>

#include "docs/common.hpp"

namespace docs {

namespace sql = curfew::sql;

struct person {
  std::int64_t id;
  std::string name;
};

extern sql::pool db;
extern const int id;

}  // namespace docs
