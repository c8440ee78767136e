#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>

/// libFuzzer's entry; replay.cpp calls it for the files of a corpus.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace curfew::fuzz {

/// What a fuzzer is given: two bytes that say how, and the bytes of a message behind them.
struct input {
  input(const std::uint8_t* data, std::size_t size)
      : flags(size > 0 ? data[0] : 0),
        seed(size > 1 ? data[1] : 0),
        message(size > 2 ? std::string_view(reinterpret_cast<const char*>(data) + 2, size - 2)
                         : std::string_view()) {}

  unsigned flags;
  unsigned seed;
  std::string_view message;
};

/// Cuts a message into pieces: 0: none; 1: of one byte each; else at random.
class cutter {
 public:
  cutter(std::string_view message, unsigned seed) : rest_(message), seed_(seed), random_(seed) {}

  [[nodiscard]] bool over() const noexcept { return rest_.empty(); }
  std::string_view next() {
    const std::size_t size = seed_ == 0 ? rest_.size() : seed_ == 1 ? 1 : 1 + random_() % (2 + seed_ % 32);
    const std::string_view piece = rest_.substr(0, size);
    rest_.remove_prefix(piece.size());
    return piece;
  }

 private:
  std::string_view rest_;
  unsigned seed_;
  std::minstd_rand random_;
};

inline std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return out;
}

inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace curfew::fuzz
