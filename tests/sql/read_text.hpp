#pragma once

#include <cstdint>
#include <curfew/sql/rows.hpp>
#include <curfew/sql/structs.hpp>
#include <string>

namespace curfew::tests {

/// What lies in `text` as a column, "it".
template <class T>
T read_text(const std::string& text) {
  sql::detail::cell c;
  c.kind = sql::detail::cell_kind::text;
  c.size = static_cast<std::uint32_t>(text.size());
  c.bytes = text.data();
  return sql::detail::read<T>(c, "it");
}

}  // namespace curfew::tests
