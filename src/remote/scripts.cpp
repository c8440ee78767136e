#include "remote/scripts.hpp"

#include <charconv>
#include <curfew/redis/script.hpp>

namespace curfew::remote::scripts {

namespace {

const redis::script& open_script() {
  static const redis::script one(R"lua(
redis.call('HSET', KEYS[1], 'n', 0, 'l', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
)lua");
  return one;
}

const redis::script& share_script() {
  static const redis::script one(R"lua(
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local ends = 0
if ARGV[2] ~= '' then
  local now = redis.call('TIME')
  ends = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[2])
end
redis.call('HSET', KEYS[1], ARGV[1], ends)
return 1
)lua");
  return one;
}

const redis::script& end_script() {
  static const redis::script one(R"lua(
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
local said = {redis.call('HINCRBY', KEYS[1], 'n', 1) .. ' ' .. ARGV[1]}
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], '!' .. ARGV[i + 1])
  said[#said + 1] = ARGV[i] .. ' ' .. ARGV[i + 1]
end
redis.call('PUBLISH', KEYS[1], table.concat(said, '\n'))
return 1
)lua");
  return one;
}

const redis::script& beat_script() {
  static const redis::script one(R"lua(
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, server} end
for i = 2, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PUBLISH', KEYS[1], redis.call('HINCRBY', KEYS[1], 'n', 1) .. ' ' .. ARGV[1])
return {1, server}
)lua");
  return one;
}

const redis::script& restore_script() {
  static const redis::script one(R"lua(
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('HSET', KEYS[1], 'l', ARGV[1], 'r', 1)
for i = 3, #ARGV, 2 do
  local ends = 0
  if ARGV[i + 1] ~= '' then ends = string.format('%.0f', now + ARGV[i + 1]) end
  redis.call('HSET', KEYS[1], ARGV[i], ends)
end
if ARGV[2] == '1' then redis.call('HDEL', KEYS[1], 'r') end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PUBLISH', KEYS[1], redis.call('HINCRBY', KEYS[1], 'n', 1) .. ' ' .. ARGV[1])
)lua");
  return one;
}

const redis::script& close_script() {
  static const redis::script one(R"lua(
if redis.call('EXISTS', KEYS[1]) == 0 then return end
redis.call('PUBLISH', KEYS[1], redis.call('HINCRBY', KEYS[1], 'n', 1) .. ' 0')
redis.call('DEL', KEYS[1])
)lua");
  return one;
}

const redis::script& look_script() {
  static const redis::script one(R"lua(
local now = redis.call('TIME')
local found = {
  redis.call('PTTL', KEYS[1]), now[1] * 1000 + math.floor(now[2] / 1000),
  string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or '',
  redis.call('HGET', KEYS[1], 'n'), redis.call('HGET', KEYS[1], 'l'), redis.call('HGET', KEYS[1], 'r')
}
for i = 1, #ARGV do found[#found + 1] = redis.call('HGET', KEYS[1], ARGV[i]) end
return found
)lua");
  return one;
}

std::string in_ms(std::optional<milliseconds> d) { return d ? std::to_string(d->count()) : std::string(); }

/// Of a text; 0 if it is none.
std::uint64_t number_in(const redis::reply& from) noexcept {
  std::uint64_t number = 0;
  const auto& text = from.text();
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

redis::command<std::string> open(const std::string& key, milliseconds lease) {
  return open_script().call<std::string>(key, in_ms(lease));
}

redis::command<bool> share(const std::string& key, std::uint64_t number,
                           std::optional<milliseconds> remaining) {
  const std::vector<std::string> arguments{std::to_string(number), in_ms(remaining)};
  return share_script().call<bool>(key, arguments);
}

redis::command<bool> end(const std::string& key, milliseconds lease,
                         const std::vector<number_and_text>& all) {
  std::vector<std::string> arguments{in_ms(lease)};
  for (const auto& [number, text] : all) {
    arguments.push_back(std::to_string(number));
    arguments.push_back(text);
  }
  return end_script().call<bool>(key, arguments);
}

redis::command<redis::reply> beat(const std::string& key, milliseconds lease,
                                  const std::vector<std::uint64_t>& forgotten) {
  std::vector<std::string> arguments{in_ms(lease)};
  for (const auto number : forgotten) arguments.push_back(std::to_string(number));
  return beat_script().call(key, arguments);
}

std::optional<beat_answer> read_beat(const redis::reply& from) {
  const auto& items = from.items();
  if (items.size() != 2) return std::nullopt;
  return beat_answer{items[0].integer() == 1, items[1].text()};
}

redis::command<void> restore(const std::string& key, milliseconds lease,
                             const std::vector<number_and_time>& all, bool is_last) {
  std::vector<std::string> arguments{in_ms(lease), is_last ? "1" : "0"};
  for (const auto& [number, remaining] : all) {
    arguments.push_back(std::to_string(number));
    arguments.push_back(in_ms(remaining));
  }
  return restore_script().call<void>(key, arguments);
}

redis::command<void> close(const std::string& key) {
  return close_script().call<void>(key, std::vector<std::string>());
}

redis::command<redis::reply> look(const std::string& key, const std::vector<std::uint64_t>& numbers) {
  std::vector<std::string> arguments;
  arguments.reserve(numbers.size());
  for (const auto number : numbers) arguments.push_back(std::to_string(number));
  return look_script().call(key, arguments);
}

std::optional<look_answer> read_look(const redis::reply& from) {
  constexpr std::size_t head = 6;
  const auto& items = from.items();
  if (items.size() < head) return std::nullopt;
  look_answer read;
  read.left = milliseconds(items[0].integer());
  read.now = items[1].integer();
  read.server = items[2].text();
  read.count = number_in(items[3]);
  read.lease = milliseconds(number_in(items[4]));
  read.is_being_restored = !items[5].is_nil();
  for (std::size_t i = head; i < items.size(); ++i)
    read.found.push_back(items[i].is_nil() ? std::nullopt : std::optional(items[i].text()));
  return read;
}

}  // namespace curfew::remote::scripts
