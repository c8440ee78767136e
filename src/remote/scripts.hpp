#pragma once

#include <chrono>
#include <cstdint>
#include <curfew/redis/command.hpp>
#include <curfew/redis/reply.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// What hubs ask of Redis: a script each, and so one round trip, in which nothing of others happens.
//
// A lease is one key, "curfew:{<name>}", a hash; and a channel of the same name. The key's time to live is the lease: its absence
// means that all its contexts have ended. Its fields:
//
//   <number>   a context that lives: the end of its time by Redis' clock, in milliseconds, or 0 for no deadline
//   <number>   one that has ended: '!' and an end_text; it is forgotten one lease later
//   n          how many messages were published: a hub that misses one sees it by the next
//   l          the lease, in milliseconds
//   r          there while it is written anew after a loss: what is not in it need not have ended
//
// Where Redis' memory is full it refuses what needs some, unless the script has changed something before. So ends and beats
// begin with what renews the lease: they free memory, later.
//
// The identity of the server's process (run_id) tells a key that has expired from one that a Redis has lost.

namespace curfew::remote::scripts {

using milliseconds = std::chrono::milliseconds;

/// A context and what it is to be known by.
using number_and_text = std::pair<std::uint64_t, std::string>;
using number_and_time = std::pair<std::uint64_t, std::optional<milliseconds>>;

/// Makes a lease. Answers the server's identity.
[[nodiscard]] redis::command<std::string> open(const std::string& key, milliseconds lease);
/// Adds a context. False: there is no such lease.
[[nodiscard]] redis::command<bool> share(const std::string& key, std::uint64_t number,
                                         std::optional<milliseconds> remaining);
/// Ends contexts, and tells. False: there is no such lease.
[[nodiscard]] redis::command<bool> end(const std::string& key, milliseconds lease,
                                       const std::vector<number_and_text>& all);

/// Renews a lease, if there is one, and tells; forgets what has ended long ago.
[[nodiscard]] redis::command<redis::reply> beat(const std::string& key, milliseconds lease,
                                                const std::vector<std::uint64_t>& forgotten);
struct beat_answer {
  bool is_there = false;
  std::string server;
};
[[nodiscard]] std::optional<beat_answer> read_beat(const redis::reply& from);

/// Writes contexts anew into a server that has lost them, a part of them at a time.
[[nodiscard]] redis::command<void> restore(const std::string& key, milliseconds lease,
                                           const std::vector<number_and_time>& all, bool is_last);
/// Ends all that a lease has, and tells.
[[nodiscard]] redis::command<void> close(const std::string& key);

/// What has become of contexts.
[[nodiscard]] redis::command<redis::reply> look(const std::string& key,
                                                const std::vector<std::uint64_t>& numbers);
struct look_answer {
  milliseconds left{};  ///< Of the lease; negative: there is none.
  std::int64_t now = 0;
  std::string server;
  std::uint64_t count = 0;
  milliseconds lease{};
  bool is_being_restored = false;
  std::vector<std::optional<std::string>> found;  ///< As in the key; none: it is not there.
};
[[nodiscard]] std::optional<look_answer> read_look(const redis::reply& from);

}  // namespace curfew::remote::scripts
