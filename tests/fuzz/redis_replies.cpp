// What a server of Redis may say: replies or a failure, the same however the bytes are cut; what is read is taken for each
// type or refused, and is read again from what it is written as.
#include <cstdint>
#include <curfew/redis/answer.hpp>
#include <curfew/redis/reply.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "redis/reply_reader.hpp"

namespace {

namespace redis = curfew::redis;
using curfew::fuzz::expect;
using redis::reply;

constexpr std::size_t most = 10'000;

struct outcome {
  std::vector<reply> replies;
  std::optional<redis::errc> wrong;
};

outcome read(std::string_view bytes, unsigned seed) {
  redis::reply_reader reader(most);
  outcome made;
  for (curfew::fuzz::cutter cut(bytes, seed); !cut.over() && !made.wrong;) {
    reader.feed(cut.next());
    for (;;) {
      auto next = reader.take();
      if (!next) {
        made.wrong = next.error().code;
        break;
      }
      if (!*next) break;
      made.replies.push_back(std::move(**next));
    }
  }
  return made;
}

void write(const reply& what, std::string& to) {
  switch (what.kind()) {
    case reply::kind::nil:
      to += "$-1\r\n";
      break;
    case reply::kind::integer:
      to += ':' + std::to_string(what.integer()) + "\r\n";
      break;
    case reply::kind::string:
      to += '$' + std::to_string(what.text().size()) + "\r\n" + what.text() + "\r\n";
      break;
    case reply::kind::status:
      to += '+' + what.text() + "\r\n";
      break;
    case reply::kind::error:
      to += '-' + what.text() + "\r\n";
      break;
    case reply::kind::array:
      to += '*' + std::to_string(what.items().size()) + "\r\n";
      for (const auto& each : what.items()) write(each, to);
      break;
  }
}

template <class T>
void take(reply from) {
  T value{};
  std::ignore = redis::detail::answer<T>::take(from, value);
}

void take_all(const reply& from) {
  take<std::int64_t>(from);
  take<double>(from);
  take<bool>(from);
  take<std::string>(from);
  take<std::optional<std::string>>(from);
  take<std::vector<std::string>>(from);
  take<std::vector<std::optional<std::string>>>(from);
  take<std::pair<std::string, std::string>>(from);
  take<std::vector<std::pair<std::string, double>>>(from);
  take<redis::hash_fields>(from);
  take<std::vector<redis::stream_entry>>(from);
  take<std::vector<redis::stream_entries>>(from);
  take<redis::claimed_entries>(from);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const curfew::fuzz::input in(data, size);
  const auto whole = read(in.message, 0);
  const auto cut = read(in.message, in.seed);
  expect(whole.wrong.has_value() == cut.wrong.has_value(), "the same failure");
  expect(whole.replies == cut.replies, "the same replies");
  std::string again;
  for (const auto& each : whole.replies) {
    take_all(each);
    write(each, again);
  }
  if (again.size() < most) {
    const auto same = read(again, 0);
    expect(!same.wrong && same.replies == whole.replies, "what is written is read again");
  }
  return 0;
}
