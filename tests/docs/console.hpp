#pragma once

/// What the snippets of the console and of the pages may name.

#include <curfew/console.hpp>
#include <curfew/inspect.hpp>
#include <iostream>
#include <string>

#include "docs/http.hpp"
#include "docs/remote.hpp"
#include "docs/sql.hpp"

namespace docs {

/// Of a queue.
struct message_t {
  std::string trace;
};
extern const message_t message;

}  // namespace docs
