#include "redis/format.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <stdexcept>

namespace curfew::redis {

namespace {

constexpr std::string_view line_end = "\r\n";
/// Of a length and what ends lines.
constexpr std::size_t around = 2 * std::string_view("$536870912\r\n").size();

// Each writes to where there is room, and returns where it ends.

char* put(char* to, std::string_view text) { return std::ranges::copy(text, to).out; }
/// "$3\r\n"
char* put_length(char* to, char kind, std::size_t length) {
  *to = kind;
  return put(std::to_chars(to + 1, to + around, length).ptr, line_end);
}

}  // namespace

std::string format(std::span<const std::string_view> words) {
  constexpr std::size_t longest = std::size_t{512} * 1024 * 1024;  // which Redis takes
  constexpr std::size_t most = 1024 * 1024;
  if (words.empty() || words.size() > most)
    throw std::length_error("a command of Redis has 1 to 1,048,576 words");
  std::size_t size = around;
  for (const auto& each : words) {
    if (each.size() > longest) throw std::length_error("a word of a command of Redis has at most 512 MB");
    size += each.size() + around;
  }
  std::string made;
  made.resize_and_overwrite(size, [words](char* const begin, std::size_t /*size*/) {
    char* to = put_length(begin, '*', words.size());
    for (const auto& each : words) to = put(put(put_length(to, '$', each.size()), each), line_end);
    return static_cast<std::size_t>(to - begin);
  });
  return made;
}

}  // namespace curfew::redis
