#include <array>
#include <charconv>
#include <concepts>
#include <curfew/redis/commands.hpp>
#include <list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew::redis {

namespace {

/// The words of a command, one after the other.
class words_of {
 public:
  template <class... Parts>
  explicit words_of(const Parts&... parts) {
    (add(parts), ...);
  }

  template <class Word>
    requires std::convertible_to<const Word&, std::string_view>
  words_of& add(const Word& one) {
    all_.push_back(std::string_view(one));
    return *this;
  }
  words_of& add(const words& many) {
    all_.insert(all_.end(), many.list().begin(), many.list().end());
    return *this;
  }
  words_of& add(std::span<const pair_of_words> pairs) {
    for (const auto& [first, second] : pairs) add(first).add(second);
    return *this;
  }
  template <class Number>
    requires std::integral<Number> || std::floating_point<Number>
  words_of& add(Number value) {
    std::array<char, 32> digits{};  // the shortest double that reads back as the same has 24 at most
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    return add(made_.emplace_back(digits.data(), end));
  }
  words_of& add(std::chrono::milliseconds d) { return add(d.count()); }

  template <class T>
  [[nodiscard]] command<T> as() const {
    return command<T>(detail::request(all_));
  }
  template <class T>
  [[nodiscard]] command<T> as_blocking() const {
    detail::request made(all_);
    made.set_blocks();
    return command<T>(std::move(made));
  }

 private:
  std::vector<std::string_view> all_;
  std::list<std::string> made_;  // numbers, which all_ refers to
};

/// of<T>("GET", key)
template <class T, class... Parts>
command<T> of(const Parts&... parts) {
  return words_of(parts...).template as<T>();
}

void add_reading(words_of& to, const xread_options& how, bool waits) {
  if (how.count()) to.add("COUNT").add(*how.count());
  if (waits) to.add("BLOCK").add(how.wait());
}

words_of xread_words(std::string_view stream, std::string_view after, const xread_options& how, bool waits) {
  words_of made("XREAD");
  add_reading(made, how, waits);
  made.add("STREAMS").add(stream).add(after);
  return made;
}

words_of xreadgroup_words(std::string_view group, std::string_view consumer, std::string_view stream,
                          std::string_view after, const xread_options& how, bool waits) {
  words_of made("XREADGROUP", "GROUP", group, consumer);
  add_reading(made, how, waits);
  if (how.needs_no_ack()) made.add("NOACK");
  made.add("STREAMS").add(stream).add(after);
  return made;
}

}  // namespace

// Keys.

command<std::string> ping() { return of<std::string>("PING"); }
command<std::int64_t> del(const words& keys) { return of<std::int64_t>("DEL", keys); }
command<std::int64_t> unlink(const words& keys) { return of<std::int64_t>("UNLINK", keys); }
command<std::int64_t> exists(const words& keys) { return of<std::int64_t>("EXISTS", keys); }
command<bool> expire(std::string_view key, std::chrono::milliseconds after) {
  return of<bool>("PEXPIRE", key, after);
}
command<bool> persist(std::string_view key) { return of<bool>("PERSIST", key); }
command<std::int64_t> pttl(std::string_view key) { return of<std::int64_t>("PTTL", key); }
command<std::string> type(std::string_view key) { return of<std::string>("TYPE", key); }
command<void> rename(std::string_view key, std::string_view to) { return of<void>("RENAME", key, to); }

// Strings and counters.

command<std::optional<std::string>> get(std::string_view key) {
  return of<std::optional<std::string>>("GET", key);
}
command<std::vector<std::optional<std::string>>> mget(const words& keys) {
  return of<std::vector<std::optional<std::string>>>("MGET", keys);
}
command<std::optional<std::string>> getdel(std::string_view key) {
  return of<std::optional<std::string>>("GETDEL", key);
}
command<bool> set(std::string_view key, std::string_view value, const set_options& how) {
  words_of made("SET", key, value);
  if (!how.condition().empty()) made.add(how.condition());
  if (how.expire()) made.add("PX").add(*how.expire());
  if (how.keeps_expiry()) made.add("KEEPTTL");
  return made.as<bool>();
}
command<void> mset(std::span<const pair_of_words> pairs) { return of<void>("MSET", pairs); }
command<std::int64_t> append(std::string_view key, std::string_view value) {
  return of<std::int64_t>("APPEND", key, value);
}
command<std::int64_t> strlen(std::string_view key) { return of<std::int64_t>("STRLEN", key); }
command<std::int64_t> incr(std::string_view key, std::int64_t by) {
  return of<std::int64_t>("INCRBY", key, by);
}
command<std::int64_t> decr(std::string_view key, std::int64_t by) {
  return of<std::int64_t>("DECRBY", key, by);
}
command<double> incr_by_float(std::string_view key, double by) { return of<double>("INCRBYFLOAT", key, by); }

// Hashes.

command<std::optional<std::string>> hget(std::string_view key, std::string_view field) {
  return of<std::optional<std::string>>("HGET", key, field);
}
command<std::vector<std::optional<std::string>>> hmget(std::string_view key, const words& fields) {
  return of<std::vector<std::optional<std::string>>>("HMGET", key, fields);
}
command<hash_fields> hgetall(std::string_view key) { return of<hash_fields>("HGETALL", key); }
command<std::int64_t> hset(std::string_view key, std::string_view field, std::string_view value) {
  return of<std::int64_t>("HSET", key, field, value);
}
command<std::int64_t> hset(std::string_view key, std::span<const pair_of_words> fields) {
  return of<std::int64_t>("HSET", key, fields);
}
command<bool> hsetnx(std::string_view key, std::string_view field, std::string_view value) {
  return of<bool>("HSETNX", key, field, value);
}
command<std::int64_t> hdel(std::string_view key, const words& fields) {
  return of<std::int64_t>("HDEL", key, fields);
}
command<bool> hexists(std::string_view key, std::string_view field) {
  return of<bool>("HEXISTS", key, field);
}
command<std::int64_t> hlen(std::string_view key) { return of<std::int64_t>("HLEN", key); }
command<std::vector<std::string>> hkeys(std::string_view key) {
  return of<std::vector<std::string>>("HKEYS", key);
}
command<std::int64_t> hincr(std::string_view key, std::string_view field, std::int64_t by) {
  return of<std::int64_t>("HINCRBY", key, field, by);
}

// Lists.

command<std::int64_t> lpush(std::string_view key, const words& values) {
  return of<std::int64_t>("LPUSH", key, values);
}
command<std::int64_t> rpush(std::string_view key, const words& values) {
  return of<std::int64_t>("RPUSH", key, values);
}
command<std::optional<std::string>> lpop(std::string_view key) {
  return of<std::optional<std::string>>("LPOP", key);
}
command<std::optional<std::string>> rpop(std::string_view key) {
  return of<std::optional<std::string>>("RPOP", key);
}
command<std::int64_t> llen(std::string_view key) { return of<std::int64_t>("LLEN", key); }
command<std::vector<std::string>> lrange(std::string_view key, std::int64_t first, std::int64_t last) {
  return of<std::vector<std::string>>("LRANGE", key, first, last);
}
command<void> ltrim(std::string_view key, std::int64_t first, std::int64_t last) {
  return of<void>("LTRIM", key, first, last);
}
command<std::int64_t> lrem(std::string_view key, std::int64_t count, std::string_view value) {
  return of<std::int64_t>("LREM", key, count, value);
}

// Sets.

command<std::int64_t> sadd(std::string_view key, const words& members) {
  return of<std::int64_t>("SADD", key, members);
}
command<std::int64_t> srem(std::string_view key, const words& members) {
  return of<std::int64_t>("SREM", key, members);
}
command<std::vector<std::string>> smembers(std::string_view key) {
  return of<std::vector<std::string>>("SMEMBERS", key);
}
command<bool> sismember(std::string_view key, std::string_view member) {
  return of<bool>("SISMEMBER", key, member);
}
command<std::int64_t> scard(std::string_view key) { return of<std::int64_t>("SCARD", key); }
command<std::optional<std::string>> spop(std::string_view key) {
  return of<std::optional<std::string>>("SPOP", key);
}

// Sorted sets.

command<std::int64_t> zadd(std::string_view key, double score, std::string_view member) {
  return of<std::int64_t>("ZADD", key, score, member);
}
command<std::int64_t> zrem(std::string_view key, const words& members) {
  return of<std::int64_t>("ZREM", key, members);
}
command<double> zincr(std::string_view key, double by, std::string_view member) {
  return of<double>("ZINCRBY", key, by, member);
}
command<std::optional<double>> zscore(std::string_view key, std::string_view member) {
  return of<std::optional<double>>("ZSCORE", key, member);
}
command<std::optional<std::int64_t>> zrank(std::string_view key, std::string_view member) {
  return of<std::optional<std::int64_t>>("ZRANK", key, member);
}
command<std::int64_t> zcard(std::string_view key) { return of<std::int64_t>("ZCARD", key); }
command<std::vector<std::string>> zrange(std::string_view key, std::int64_t first, std::int64_t last) {
  return of<std::vector<std::string>>("ZRANGE", key, first, last);
}
command<std::vector<scored>> zrange_with_scores(std::string_view key, std::int64_t first, std::int64_t last) {
  return of<std::vector<scored>>("ZRANGE", key, first, last, "WITHSCORES");
}
command<std::vector<std::string>> zrange_by_score(std::string_view key, std::string_view least,
                                                  std::string_view most, std::size_t limit) {
  words_of made("ZRANGEBYSCORE", key, least, most);
  if (limit != 0) made.add("LIMIT").add(0).add(limit);
  return made.as<std::vector<std::string>>();
}
command<std::int64_t> zremrange_by_score(std::string_view key, std::string_view least,
                                         std::string_view most) {
  return of<std::int64_t>("ZREMRANGEBYSCORE", key, least, most);
}
command<std::vector<scored>> zpopmin(std::string_view key, std::size_t count) {
  return of<std::vector<scored>>("ZPOPMIN", key, count);
}

// Streams.

command<std::optional<std::string>> xadd(std::string_view stream, std::span<const pair_of_words> fields,
                                         const xadd_options& how) {
  words_of made("XADD", stream);
  if (how.only_if_present()) made.add("NOMKSTREAM");
  if (how.max_length()) made.add("MAXLEN").add("~").add(*how.max_length());
  made.add(how.id()).add(fields);
  return made.as<std::optional<std::string>>();
}
command<std::optional<std::string>> xadd(std::string_view stream, std::initializer_list<pair_of_words> fields,
                                         const xadd_options& how) {
  return xadd(stream, std::span(fields.begin(), fields.size()), how);
}
command<std::int64_t> xlen(std::string_view stream) { return of<std::int64_t>("XLEN", stream); }
command<std::int64_t> xdel(std::string_view stream, const words& ids) {
  return of<std::int64_t>("XDEL", stream, ids);
}
command<std::int64_t> xtrim(std::string_view stream, std::size_t max_length) {
  return of<std::int64_t>("XTRIM", stream, "MAXLEN", max_length);
}
command<std::vector<stream_entry>> xrange(std::string_view stream, std::string_view first,
                                          std::string_view last, std::size_t count) {
  words_of made("XRANGE", stream, first, last);
  if (count != 0) made.add("COUNT").add(count);
  return made.as<std::vector<stream_entry>>();
}
command<std::vector<stream_entries>> xread(std::string_view stream, std::string_view after,
                                           const xread_options& how) {
  return xread_words(stream, after, how, false).as<std::vector<stream_entries>>();
}
command<std::vector<stream_entries>> xread_blocking(std::string_view stream, std::string_view after,
                                                    const xread_options& how) {
  return xread_words(stream, after, how, true).as_blocking<std::vector<stream_entries>>();
}
command<void> xgroup_create(std::string_view stream, std::string_view group, std::string_view after) {
  return of<void>("XGROUP", "CREATE", stream, group, after, "MKSTREAM");
}
command<std::vector<stream_entries>> xreadgroup(std::string_view group, std::string_view consumer,
                                                std::string_view stream, std::string_view after,
                                                const xread_options& how) {
  return xreadgroup_words(group, consumer, stream, after, how, false).as<std::vector<stream_entries>>();
}
command<std::vector<stream_entries>> xreadgroup_blocking(std::string_view group, std::string_view consumer,
                                                         std::string_view stream, const xread_options& how) {
  return xreadgroup_words(group, consumer, stream, ">", how, true).as_blocking<std::vector<stream_entries>>();
}
command<std::int64_t> xack(std::string_view stream, std::string_view group, const words& ids) {
  return of<std::int64_t>("XACK", stream, group, ids);
}
command<claimed_entries> xautoclaim(std::string_view stream, std::string_view group,
                                    std::string_view consumer, std::chrono::milliseconds idle,
                                    std::string_view start, std::size_t count) {
  return of<claimed_entries>("XAUTOCLAIM", stream, group, consumer, idle, start, "COUNT", count);
}
command<std::vector<std::string>> xclaim_ids(std::string_view stream, std::string_view group,
                                             std::string_view consumer, std::chrono::milliseconds idle,
                                             const words& ids) {
  return of<std::vector<std::string>>("XCLAIM", stream, group, consumer, idle, ids, "JUSTID");
}

// What waits in the server.

command<std::pair<std::string, std::string>> blpop(const words& keys) {
  return words_of("BLPOP", keys, 0).as_blocking<std::pair<std::string, std::string>>();
}
command<std::pair<std::string, std::string>> brpop(const words& keys) {
  return words_of("BRPOP", keys, 0).as_blocking<std::pair<std::string, std::string>>();
}

// Messages.

command<std::int64_t> publish(std::string_view channel, std::string_view message) {
  return of<std::int64_t>("PUBLISH", channel, message);
}

}  // namespace curfew::redis
