#include <algorithm>
#include <array>
#include <charconv>
#include <curfew/redis/command.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "redis/format.hpp"

namespace curfew::redis::detail {

namespace {

/// The next word of what is sent, `*2\r\n$3\r\nGET\r\n…`, from `at` on, which moves behind it.
std::string_view next_word(std::string_view bytes, std::size_t& at) {
  const auto length_end = bytes.find("\r\n", at);
  if (at >= bytes.size() || length_end == std::string_view::npos) return {};
  std::size_t length = 0;
  std::from_chars(bytes.data() + at + 1, bytes.data() + length_end, length);
  const auto word = bytes.substr(length_end + 2, length);
  at = length_end + 2 + length + 2;
  return word;
}

/// A word for people, of a bounded length.
void show(std::string& to, std::string_view word) {
  constexpr std::size_t most = 48;
  constexpr std::string_view digits = "0123456789abcdef";
  for (const char each : word.substr(0, most)) {
    const auto byte = static_cast<unsigned char>(each);
    if (byte >= 0x20 && byte < 0x7f) {
      to += each;
    } else {
      to += "\\x";
      to += digits[byte >> 4U];
      to += digits[byte & 0xfU];
    }
  }
  if (word.size() > most) to += "…";
}

}  // namespace

request::request(std::span<const std::string_view> words) : bytes_(format(words)) {}

request::request(std::shared_ptr<const std::string> lua, std::string_view sha,
                 std::span<const std::string_view> rest)
    : lua_(std::move(lua)) {
  std::vector<std::string_view> words{"EVALSHA", sha};
  words.insert(words.end(), rest.begin(), rest.end());
  bytes_ = format(words);
  rest_ = bytes_.find("\r\n") + 2;
  next_word(bytes_, rest_);
  next_word(bytes_, rest_);
}

request request::with_text() const {
  const std::array<std::string_view, 2> begin{"EVAL", *lua_};
  const std::string head = format(begin);
  request made;
  made.bytes_ = bytes_.substr(0, bytes_.find("\r\n") + 2);
  made.bytes_ += std::string_view(head).substr(head.find("\r\n") + 2);
  made.bytes_ += std::string_view(bytes_).substr(rest_);
  made.blocks_ = blocks_;
  return made;
}

std::string shown(std::string_view sent) {
  std::size_t at = sent.find("\r\n");
  if (at == std::string_view::npos) return {};
  at += 2;
  std::string text;
  show(text, next_word(sent, at));
  if (const auto key = next_word(sent, at); !key.empty()) {
    text += ' ';
    show(text, key);
  }
  return text;
}

error server_error(const reply& said, std::string doing) {
  struct known {
    std::string_view word;
    errc code;
  };
  constexpr std::array all{
      known{"WRONGTYPE", errc::wrong_type},
      known{"NOSCRIPT", errc::no_script},
      known{"BUSY", errc::busy},
      known{"LOADING", errc::loading},
      known{"READONLY", errc::read_only},
      known{"OOM", errc::out_of_memory},
      known{"NOAUTH", errc::not_allowed},
      known{"WRONGPASS", errc::not_allowed},
      known{"NOPERM", errc::not_allowed},
      known{"DENIED", errc::not_allowed},
      known{"EXECABORT", errc::aborted},
      known{"MOVED", errc::moved},
      known{"ASK", errc::moved},
      known{"CLUSTERDOWN", errc::cluster_down},
      known{"TRYAGAIN", errc::cluster_down},
  };
  const std::string_view text(said.text());
  const auto word = text.substr(0, text.find(' '));
  const auto* found = std::ranges::find(all, word, &known::word);
  return {found != all.end() ? found->code : errc::other, std::move(doing), said.text()};
}

error refusal(const reply& said, const request& of) {
  auto why = server_error(said, of.shown());
  constexpr std::array scripts{std::string_view("EVAL"), std::string_view("FCALL")};
  const auto runs = [&](std::string_view word) { return why.doing().starts_with(word); };
  if (std::ranges::none_of(scripts, runs)) return why;
  // Said before a script begins, unless they name the script, which has met them then.
  constexpr std::array first{errc::no_script, errc::busy,         errc::loading,  errc::not_allowed,
                             errc::moved,     errc::cluster_down, errc::read_only};
  const auto says = [&](errc code) { return why == code; };
  if (std::ranges::any_of(first, says) && !why.text().contains(" script: ")) return why;
  return {why.code(), why.doing(), why.text(), outcome::unknown};
}

error not_of_that_type(const reply& got, const request& of) {
  constexpr std::array names{"nil", "an integer", "a string", "a status", "an error", "an array"};
  return {errc::conversion, of.shown(),
          std::string("the answer is ") + names.at(static_cast<std::size_t>(got.kind())), outcome::unknown};
}

}  // namespace curfew::redis::detail
