#include "redis/format.hpp"

#include <hiredis/hiredis.h>

#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

namespace curfew::redis {

namespace {

struct free_command {
  void operator()(char* command) const noexcept { ::redisFreeCommand(command); }
};

}  // namespace

std::string format(std::span<const std::string_view> words) {
  constexpr std::size_t longest = std::size_t{512} * 1024 * 1024;  // which Redis takes
  constexpr std::size_t most = 1024 * 1024;
  if (words.empty() || words.size() > most)
    throw std::length_error("a command of Redis has 1 to 1,048,576 words");
  std::vector<const char*> begins;
  std::vector<std::size_t> lengths;
  begins.reserve(words.size());
  lengths.reserve(words.size());
  for (const auto& each : words) {
    if (each.size() > longest) throw std::length_error("a word of a command of Redis has at most 512 MB");
    begins.push_back(each.data());
    lengths.push_back(each.size());
  }
  char* made = nullptr;
  const auto length =
      ::redisFormatCommandArgv(&made, static_cast<int>(words.size()), begins.data(), lengths.data());
  if (length < 0) throw std::bad_alloc();
  const std::unique_ptr<char, free_command> owned(made);
  return {made, static_cast<std::size_t>(length)};
}

}  // namespace curfew::redis
