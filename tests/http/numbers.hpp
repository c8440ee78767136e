#pragma once

#include <cstddef>
#include <string>

namespace curfew::tests {

/// A body whose bytes tell where they are.
inline std::string numbers(std::size_t size) {
  std::string made;
  for (unsigned i = 0; made.size() < size; ++i) made += std::to_string(i) + ' ';
  made.resize(size);
  return made;
}

}  // namespace curfew::tests
