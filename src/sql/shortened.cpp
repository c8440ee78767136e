#include "sql/shortened.hpp"

#include <cstddef>

namespace curfew::sql {

namespace {

constexpr std::size_t longest_shown = 120;

}  // namespace

std::string shortened(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool blank = static_cast<unsigned char>(c) <= ' ' || c == 0x7f;
    if (blank && (line.empty() || line.back() == ' ')) continue;
    if (line.size() == longest_shown) return line + "…";
    line += blank ? ' ' : c;
  }
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace curfew::sql
