#include "redis/format.hpp"

#include <array>
#include <charconv>
#include <cstddef>
#include <stdexcept>

namespace curfew::redis {

namespace {

/// "$3\r\n"
void add_length(std::string& to, char kind, std::size_t length) {
  std::array<char, 24> text{kind};
  char* const end = std::to_chars(text.data() + 1, text.data() + text.size(), length).ptr;
  to.append(text.data(), end).append("\r\n");
}

}  // namespace

std::string format(std::span<const std::string_view> words) {
  constexpr std::size_t longest = std::size_t{512} * 1024 * 1024;  // which Redis takes
  constexpr std::size_t most = 1024 * 1024;
  constexpr std::size_t around = 2 * std::string_view("$536870912\r\n").size();
  if (words.empty() || words.size() > most)
    throw std::length_error("a command of Redis has 1 to 1,048,576 words");
  std::size_t size = around;
  for (const auto& each : words) {
    if (each.size() > longest) throw std::length_error("a word of a command of Redis has at most 512 MB");
    size += each.size() + around;
  }
  std::string made;
  made.reserve(size);
  add_length(made, '*', words.size());
  for (const auto& each : words) {
    add_length(made, '$', each.size());
    made.append(each).append("\r\n");
  }
  return made;
}

}  // namespace curfew::redis
