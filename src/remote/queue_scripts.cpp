#include "remote/queue_scripts.hpp"

#include <curfew/redis/commands.hpp>
#include <curfew/redis/script.hpp>
#include <string>
#include <utility>

namespace curfew::remote::scripts {

namespace {

const redis::script& push_script() {
  static const redis::script one(R"lua(
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return false end
return redis.call('XADD', KEYS[1], '*', 't', ARGV[2], 'r', ARGV[3], 'n', ARGV[4], 'b', ARGV[5])
)lua");
  return one;
}

const redis::script& finish_script() {
  static const redis::script one(R"lua(
local answers = KEYS[2] and redis.call('EXISTS', KEYS[2]) == 1
if KEYS[2] and ARGV[6] == '1' and not answers then return 0 end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if redis.call('XDEL', KEYS[1], ARGV[2]) == 0 then return 2 end
if answers and ARGV[4] ~= '' then
  redis.call('XADD', KEYS[2], '*', 'n', ARGV[3], 'k', ARGV[4], 'b', ARGV[5])
end
return 1
)lua");
  return one;
}

// The number of attempts is that of deliveries, which XAUTOCLAIM has counted.
const redis::script& take_over_script() {
  static const redis::script one(R"lua(
local group, worker, idle = ARGV[1], ARGV[2], tonumber(ARGV[3])
local found = {}
for _, entry in ipairs(redis.call('XAUTOCLAIM', KEYS[1], group, worker, idle, '0-0', 'COUNT', ARGV[4])[2]) do
  if entry then
    local pending = redis.call('XPENDING', KEYS[1], group, entry[1], entry[1], 1)
    found[#found + 1] = {entry[1], pending[1] and pending[1][4] or 1, entry[2]}
  end
end
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], group)) do
  local it = {}
  for i = 1, #fields, 2 do it[fields[i]] = fields[i + 1] end
  if it.pending == 0 and it.idle > idle * 10 and it.name ~= worker then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], group, it.name)
  end
end
return found
)lua");
  return one;
}

const redis::script& renew_script() {
  static const redis::script one(R"lua(
local lost = {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if pending[1] and pending[1][2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
)lua");
  return one;
}

const redis::script& give_back_script() {
  static const redis::script one(R"lua(
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if pending[1] and pending[1][2] == ARGV[2] then
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[4], 'JUSTID')
end
)lua");
  return one;
}

const redis::script& leave_script() {
  static const redis::script one(R"lua(
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
)lua");
  return one;
}

}  // namespace

redis::command<std::optional<std::string>> push(const std::string& stream, std::size_t max_length,
                                                const queued_job& what) {
  const std::string most = std::to_string(max_length);
  return push_script().call<std::optional<std::string>>(
      stream, {most, what.ticket, what.results, what.number, what.body});
}

redis::command<std::int64_t> finish(const std::string& stream, const std::string& group,
                                    const queued_job& what, std::string_view kind, const std::string& text,
                                    bool must) {
  std::vector<std::string> keys{stream};
  if (!what.results.empty()) keys.push_back(what.results);
  return finish_script().call<std::int64_t>(keys,
                                            {group, what.id, what.number, kind, text, must ? "1" : "0"});
}

redis::command<redis::reply> take_over(const std::string& stream, const std::string& group,
                                       const std::string& worker, std::chrono::milliseconds idle,
                                       std::size_t count) {
  const std::string time = std::to_string(idle.count());
  const std::string most = std::to_string(count);
  return take_over_script().call(stream, {group, worker, time, most});
}

queued_job job_of(redis::stream_entry&& entry) {
  queued_job made;
  made.id = std::move(entry.id);
  const auto place = [&made](const std::string& name) -> std::string* {
    if (name == "t") return &made.ticket;
    if (name == "r") return &made.results;
    if (name == "n") return &made.number;
    return name == "b" ? &made.body : nullptr;
  };
  for (auto& [name, value] : entry.fields) {
    if (auto* to = place(name)) *to = std::move(value);
  }
  return made;
}

std::vector<queued_job> jobs_of(redis::reply&& taken_over) {
  std::vector<queued_job> made;
  for (redis::reply& each : taken_over.items()) {
    if (each.items().size() != 3) continue;
    redis::stream_entry entry;
    entry.id = std::move(each.items()[0].text());
    if (!redis::detail::answer<decltype(entry.fields)>::take(each.items()[2], entry.fields)) continue;
    made.push_back(job_of(std::move(entry)));
    made.back().attempt = static_cast<unsigned>(each.items()[1].integer());
  }
  return made;
}

redis::command<std::vector<std::string>> renew(const std::string& stream, const std::string& group,
                                               const std::string& worker,
                                               const std::vector<std::string>& ids) {
  std::vector<std::string> arguments{group, worker};
  arguments.insert(arguments.end(), ids.begin(), ids.end());
  return renew_script().call<std::vector<std::string>>(stream, arguments);
}

redis::command<redis::reply> give_back(const std::string& stream, const std::string& group,
                                       const std::string& worker, const std::string& id,
                                       std::chrono::milliseconds idle) {
  const std::string time = std::to_string(idle.count());
  return give_back_script().call(stream, {group, worker, id, time});
}

redis::command<redis::reply> leave(const std::string& stream, const std::string& group,
                                   const std::string& worker) {
  return leave_script().call(stream, {group, worker});
}

}  // namespace curfew::remote::scripts
