#pragma once

// The commands of Redis that programs use most, each as a function of the same name. Others: `raw`.
// Keys and values are any bytes. Times are rounded up to milliseconds; one of zero or less is refused by the server.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/redis/command.hpp>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew::redis {

/// Words of a command that may be several: one, or a list of them.
class words {
 public:
  // As they are written in a call, so none is explicit.
  words(std::string_view one) : list_{one} {}                           // NOLINT(google-explicit-constructor)
  words(const char* one) : words(std::string_view(one)) {}              // NOLINT(google-explicit-constructor)
  words(const std::string& one) : words(std::string_view(one)) {}       // NOLINT(google-explicit-constructor)
  words(std::initializer_list<std::string_view> many) : list_(many) {}  // NOLINT(google-explicit-constructor)
  // NOLINTNEXTLINE(google-explicit-constructor)
  words(const std::vector<std::string>& many) : list_(many.begin(), many.end()) {}

  [[nodiscard]] const std::vector<std::string_view>& list() const noexcept { return list_; }

 private:
  std::vector<std::string_view> list_;  // of the caller's
};

/// A name and what it holds.
using pair_of_words = std::pair<std::string_view, std::string_view>;

// Keys.

[[nodiscard]] command<std::string> ping();
/// \return how many there were.
[[nodiscard]] command<std::int64_t> del(const words& keys);
/// As del; the memory is freed in the background.
[[nodiscard]] command<std::int64_t> unlink(const words& keys);
[[nodiscard]] command<std::int64_t> exists(const words& keys);
/// \return false: there is no such key.
[[nodiscard]] command<bool> expire(std::string_view key, std::chrono::milliseconds after);
[[nodiscard]] command<bool> persist(std::string_view key);
/// In milliseconds; -1: it lasts, -2: there is no such key.
[[nodiscard]] command<std::int64_t> pttl(std::string_view key);
/// "string", "list", "set", "zset", "hash", "stream", "none".
[[nodiscard]] command<std::string> type(std::string_view key);
[[nodiscard]] command<void> rename(std::string_view key, std::string_view to);

// Strings and counters.

/// How `set` sets. Each setter returns the options, so they can be chained.
class set_options {
 public:
  /// Only where there is no such key: NX.
  set_options& if_absent() { return condition_ = "NX", *this; }
  /// Only where there is one: XX.
  set_options& if_present() { return condition_ = "XX", *this; }
  /// The key goes after that time: PX.
  set_options& expire(std::chrono::milliseconds after) { return expire_ = after, *this; }
  /// The key's time stays as it is: KEEPTTL.
  set_options& keep_expiry() { return keep_ = true, *this; }

  [[nodiscard]] std::string_view condition() const noexcept { return condition_; }
  [[nodiscard]] std::optional<std::chrono::milliseconds> expire() const noexcept { return expire_; }
  [[nodiscard]] bool keeps_expiry() const noexcept { return keep_; }

 private:
  std::string_view condition_;
  std::optional<std::chrono::milliseconds> expire_;
  bool keep_ = false;
};

/// None: there is no such key.
[[nodiscard]] command<std::optional<std::string>> get(std::string_view key);
[[nodiscard]] command<std::vector<std::optional<std::string>>> mget(const words& keys);
[[nodiscard]] command<std::optional<std::string>> getdel(std::string_view key);
/// \return false: the condition did not hold.
[[nodiscard]] command<bool> set(std::string_view key, std::string_view value, const set_options& how = {});
[[nodiscard]] command<void> mset(std::span<const pair_of_words> pairs);
/// \return its length then.
[[nodiscard]] command<std::int64_t> append(std::string_view key, std::string_view value);
[[nodiscard]] command<std::int64_t> strlen(std::string_view key);
/// \return the number then.
[[nodiscard]] command<std::int64_t> incr(std::string_view key, std::int64_t by = 1);
[[nodiscard]] command<std::int64_t> decr(std::string_view key, std::int64_t by = 1);
[[nodiscard]] command<double> incr_by_float(std::string_view key, double by);

// Hashes.

[[nodiscard]] command<std::optional<std::string>> hget(std::string_view key, std::string_view field);
[[nodiscard]] command<std::vector<std::optional<std::string>>> hmget(std::string_view key,
                                                                     const words& fields);
[[nodiscard]] command<hash_fields> hgetall(std::string_view key);
/// \return how many are new.
[[nodiscard]] command<std::int64_t> hset(std::string_view key, std::string_view field,
                                         std::string_view value);
[[nodiscard]] command<std::int64_t> hset(std::string_view key, std::span<const pair_of_words> fields);
/// \return false: there is one already.
[[nodiscard]] command<bool> hsetnx(std::string_view key, std::string_view field, std::string_view value);
[[nodiscard]] command<std::int64_t> hdel(std::string_view key, const words& fields);
[[nodiscard]] command<bool> hexists(std::string_view key, std::string_view field);
[[nodiscard]] command<std::int64_t> hlen(std::string_view key);
[[nodiscard]] command<std::vector<std::string>> hkeys(std::string_view key);
[[nodiscard]] command<std::int64_t> hincr(std::string_view key, std::string_view field, std::int64_t by = 1);

// Lists.

/// \return the length then.
[[nodiscard]] command<std::int64_t> lpush(std::string_view key, const words& values);
[[nodiscard]] command<std::int64_t> rpush(std::string_view key, const words& values);
[[nodiscard]] command<std::optional<std::string>> lpop(std::string_view key);
[[nodiscard]] command<std::optional<std::string>> rpop(std::string_view key);
[[nodiscard]] command<std::int64_t> llen(std::string_view key);
/// \param last  -1 is the last of all.
[[nodiscard]] command<std::vector<std::string>> lrange(std::string_view key, std::int64_t first,
                                                       std::int64_t last);
[[nodiscard]] command<void> ltrim(std::string_view key, std::int64_t first, std::int64_t last);
[[nodiscard]] command<std::int64_t> lrem(std::string_view key, std::int64_t count, std::string_view value);

// Sets.

/// \return how many are new.
[[nodiscard]] command<std::int64_t> sadd(std::string_view key, const words& members);
[[nodiscard]] command<std::int64_t> srem(std::string_view key, const words& members);
[[nodiscard]] command<std::vector<std::string>> smembers(std::string_view key);
[[nodiscard]] command<bool> sismember(std::string_view key, std::string_view member);
[[nodiscard]] command<std::int64_t> scard(std::string_view key);
[[nodiscard]] command<std::optional<std::string>> spop(std::string_view key);

// Sorted sets.

using scored = std::pair<std::string, double>;

/// \return how many are new.
[[nodiscard]] command<std::int64_t> zadd(std::string_view key, double score, std::string_view member);
[[nodiscard]] command<std::int64_t> zrem(std::string_view key, const words& members);
[[nodiscard]] command<double> zincr(std::string_view key, double by, std::string_view member);
[[nodiscard]] command<std::optional<double>> zscore(std::string_view key, std::string_view member);
[[nodiscard]] command<std::optional<std::int64_t>> zrank(std::string_view key, std::string_view member);
[[nodiscard]] command<std::int64_t> zcard(std::string_view key);
/// By rank. \param last  -1 is the last of all.
[[nodiscard]] command<std::vector<std::string>> zrange(std::string_view key, std::int64_t first,
                                                       std::int64_t last);
[[nodiscard]] command<std::vector<scored>> zrange_with_scores(std::string_view key, std::int64_t first,
                                                              std::int64_t last);
/// By score. \param least, most  As Redis writes them: "5", "(5", "-inf", "+inf".
/// \param limit  0: none.
[[nodiscard]] command<std::vector<std::string>> zrange_by_score(std::string_view key, std::string_view least,
                                                                std::string_view most, std::size_t limit = 0);
[[nodiscard]] command<std::int64_t> zremrange_by_score(std::string_view key, std::string_view least,
                                                       std::string_view most);
[[nodiscard]] command<std::vector<scored>> zpopmin(std::string_view key, std::size_t count = 1);

// Streams.

/// How `xadd` adds.
class xadd_options {
 public:
  /// Default: "*", the server's.
  xadd_options& id(std::string_view what) { return id_ = what, *this; }
  /// Old entries go where there are more than about this many: MAXLEN ~.
  xadd_options& max_length(std::size_t count) { return max_length_ = count, *this; }
  /// Nothing is added where there is no such stream: NOMKSTREAM.
  xadd_options& if_present() { return if_present_ = true, *this; }

  [[nodiscard]] std::string_view id() const noexcept { return id_; }
  [[nodiscard]] std::optional<std::size_t> max_length() const noexcept { return max_length_; }
  [[nodiscard]] bool only_if_present() const noexcept { return if_present_; }

 private:
  std::string_view id_ = "*";
  std::optional<std::size_t> max_length_;
  bool if_present_ = false;
};

/// How a stream is read: how much, and for how long.
class xread_options {
 public:
  /// At most so many of each stream. Default: the server's, which is no limit.
  xread_options& count(std::size_t most) { return count_ = most, *this; }
  /// How long one that waits does so, if nothing comes; then there are no entries. Rounded up to milliseconds. Default: as
  /// long as its context lives.
  xread_options& wait(std::chrono::milliseconds longest) { return wait_ = longest, *this; }
  /// Entries need no xack: NOACK.
  xread_options& no_ack() { return no_ack_ = true, *this; }

  [[nodiscard]] std::optional<std::size_t> count() const noexcept { return count_; }
  [[nodiscard]] std::chrono::milliseconds wait() const noexcept { return wait_; }
  [[nodiscard]] bool needs_no_ack() const noexcept { return no_ack_; }

 private:
  std::optional<std::size_t> count_;
  std::chrono::milliseconds wait_{0};
  bool no_ack_ = false;
};

/// \return its id; none: there is no such stream, and `if_present` was asked for.
[[nodiscard]] command<std::optional<std::string>> xadd(std::string_view stream,
                                                       std::span<const pair_of_words> fields,
                                                       const xadd_options& how = {});
[[nodiscard]] command<std::optional<std::string>> xadd(std::string_view stream,
                                                       std::initializer_list<pair_of_words> fields,
                                                       const xadd_options& how = {});
[[nodiscard]] command<std::int64_t> xlen(std::string_view stream);
[[nodiscard]] command<std::int64_t> xdel(std::string_view stream, const words& ids);
[[nodiscard]] command<std::int64_t> xtrim(std::string_view stream, std::size_t max_length);
/// \param first, last  "-" and "+" are the ends.
[[nodiscard]] command<std::vector<stream_entry>> xrange(std::string_view stream, std::string_view first,
                                                        std::string_view last, std::size_t count = 0);
/// Of one stream, what is behind an id. Does not wait.
[[nodiscard]] command<std::vector<stream_entries>> xread(std::string_view stream, std::string_view after,
                                                         const xread_options& how = {});
/// The same, and waits for something to come.
[[nodiscard]] command<std::vector<stream_entries>> xread_blocking(std::string_view stream,
                                                                  std::string_view after,
                                                                  const xread_options& how = {});
/// Makes the stream, too. There is a group already: errc::other, whose text begins with BUSYGROUP.
[[nodiscard]] command<void> xgroup_create(std::string_view stream, std::string_view group,
                                          std::string_view after = "$");
/// \param after  ">": what no consumer has got yet.
[[nodiscard]] command<std::vector<stream_entries>> xreadgroup(std::string_view group,
                                                              std::string_view consumer,
                                                              std::string_view stream,
                                                              std::string_view after = ">",
                                                              const xread_options& how = {});
/// The same, and waits for something to come.
[[nodiscard]] command<std::vector<stream_entries>> xreadgroup_blocking(std::string_view group,
                                                                       std::string_view consumer,
                                                                       std::string_view stream,
                                                                       const xread_options& how = {});
[[nodiscard]] command<std::int64_t> xack(std::string_view stream, std::string_view group, const words& ids);
/// Takes entries over that their consumer has held for longer than that.
[[nodiscard]] command<claimed_entries> xautoclaim(std::string_view stream, std::string_view group,
                                                  std::string_view consumer, std::chrono::milliseconds idle,
                                                  std::string_view start = "0-0", std::size_t count = 100);
/// Shows that this consumer is at work at them: their idle time begins anew. \return the ids of those that are its own now.
[[nodiscard]] command<std::vector<std::string>> xclaim_ids(std::string_view stream, std::string_view group,
                                                           std::string_view consumer,
                                                           std::chrono::milliseconds idle, const words& ids);

// What waits in the server, as long as the context lives. A client runs each on a connection of its own.

/// \return the list's key, and the value that was taken.
[[nodiscard]] command<std::pair<std::string, std::string>> blpop(const words& keys);
[[nodiscard]] command<std::pair<std::string, std::string>> brpop(const words& keys);

// Messages.

/// \return how many have got it.
[[nodiscard]] command<std::int64_t> publish(std::string_view channel, std::string_view message);

}  // namespace curfew::redis
