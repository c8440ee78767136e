#include "remote/watch.hpp"

#include <algorithm>
#include <cstdlib>
#include <curfew/io/sync.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/redis/client.hpp>
#include <curfew/remote/errc.hpp>
#include <functional>
#include <iterator>
#include <tuple>
#include <utility>

#include "remote/news.hpp"

namespace asio = boost::asio;

namespace curfew::remote {

namespace {

using std::chrono::milliseconds;

constexpr const char* doing = "joining a context";
constexpr std::size_t numbers_at_once = 1000;
constexpr milliseconds least_lease{30};
constexpr milliseconds least_patience{100};
constexpr milliseconds least_wait{5};
constexpr milliseconds after_expiry{3};
/// An origin's deadline that is as near as this ends what has joined by its own timer, and so with deadline_exceeded.
constexpr std::chrono::seconds near_deadline{1};

/// Parts of the time of a lease: a beat comes at each third of it.
clock::duration silence_of(milliseconds lease) { return clock::duration(lease) * 5 / 12; }
clock::duration retry_of(milliseconds lease) {
  return std::max<clock::duration>(clock::duration(lease) / 6, least_wait);
}

}  // namespace

watch::watch(hub_loop& loop, redis::client& client, const hub_options& options)
    : loop_(loop),
      client_(client),
      options_(options),
      looking_(loop.io()) {}

// Joining.

asio::awaitable<result<cancel_scope>> watch::join(context own, std::string text) {
  if (own.err()) co_return error::ended(own, doing);
  auto read = ticket::parse(text, options_.key());
  if (!read) co_return read.error();
  if (count() + starting_ >= options_.most()) co_return error(errc::too_many, doing);
  ++starting_;
  const std::unique_ptr<std::size_t, void (*)(std::size_t*)> starting(&starting_,
                                                                      [](std::size_t* n) { --*n; });

  const std::string key = read->live_key();
  auto& slot = origins_[key];
  if (slot == nullptr) {
    slot = std::make_shared<origin>();
    slot->key = key;
    plan(*slot, clock::now() + least_lease);  // to be left then, if nothing joins
  }
  const origin_ptr from = slot;
  const auto mine = from->joins.insert(from->joins.end(), joining());
  mine->number = read->number;
  const std::unique_ptr<origin, std::function<void(origin*)>> leaving(
      from.get(), [mine](origin* o) { o->joins.erase(mine); });

  if (auto subscribed = co_await subscribe(own, from); !subscribed) co_return subscribed.error();
  const auto sent = clock::now();
  const std::vector<std::uint64_t> numbers{read->number};
  auto command = scripts::look(key, numbers);
  auto got = co_await client_.async_run(own, std::move(command));
  if (!got) co_return std::move(got).error();
  const auto answer = scripts::read_look(*got);
  if (!answer || answer->found.size() != 1) co_return error(redis::errc::protocol, doing);
  judge(*from, *answer, {});

  const context parent = with_values(std::move(own), *read);
  const auto& found = answer->found.front();
  std::optional<cause> why;
  if (mine->end) {
    why = cause_of(*mine->end);
  } else if (answer->left < milliseconds::zero()) {
    why = errc::origin_lost;
  } else if (!found) {
    why = errc::origin_ended;
  } else if (found->starts_with('!')) {
    why = cause_of(std::string_view(*found).substr(1));
  }
  if (why) {
    auto scope = with_cancel(parent);
    scope.cancel(std::move(*why));
    co_return scope;
  }

  std::optional<clock::duration> left;
  if (const auto ends = std::strtoll(found->c_str(), nullptr, 10); ends != 0) {
    left = std::min(milliseconds(ends - answer->now), read->remaining.value_or(milliseconds::max())) -
           (clock::now() - sent) / 2;
  }
  const auto longest = options_.longest();
  if (left && (!longest || *left <= *longest)) {
    auto scope = with_timeout(parent, *left);
    keep(*from, read->number, scope, left);
    co_return scope;
  }
  if (longest) {
    auto scope = with_timeout(parent, *longest, errc::out_of_time);
    keep(*from, read->number, scope, left);
    co_return scope;
  }
  auto scope = with_cancel(parent);
  keep(*from, read->number, scope, left);
  co_return scope;
}

context watch::with_values(context own, const ticket& of) const {
  for (const auto& [name, text] : of.values) {
    const auto carried = std::ranges::find(options_.carried(), name, &detail::carried_value::name);
    if (carried == options_.carried().end()) continue;
    if (auto made = carried->write(own, text)) own = std::move(*made);
  }
  return own;
}

void watch::keep(origin& of, std::uint64_t number, const cancel_scope& scope,
                 std::optional<clock::duration> left) {
  const auto made_at = clock::now();
  joined made;
  made.id = ++last_id_;
  made.canceler = scope.canceler();
  if (left) made.deadline = made_at + *left;
  const auto at = of.all.emplace(number, std::move(made));
  at->second.ending.emplace(
      after_func(scope.ctx(), loop_.door(),
                 [this, key = of.key, number, id = at->second.id] { on_end(key, number, id); }));
  plan(of, std::min(made_at + silence_of(of.lease), of.expires + after_expiry));
  count_.fetch_add(1, std::memory_order_relaxed);
}

void watch::on_end(const std::string& key, std::uint64_t number, std::uint64_t id) {
  const auto found = origins_.find(key);
  if (found == origins_.end()) return;
  auto& all = found->second->all;
  const auto [begin, end] = all.equal_range(number);
  const auto one = std::find_if(begin, end, [id](const auto& each) { return each.second.id == id; });
  if (one == end) return;
  all.erase(one);
  count_.fetch_sub(1, std::memory_order_relaxed);
  if (all.empty())
    plan(*found->second, clock::now() + found->second->lease);  // to be left then, if it stays so
}

// The subscription.

asio::awaitable<result<>> watch::subscribe(context ctx, origin_ptr to) {
  if (to->is_subscribed) co_return result<>();
  auto lock = co_await async_lock(ctx, subscribes_);
  if (!lock) co_return lock.error();
  if (to->is_subscribed) co_return result<>();
  std::vector<std::string> channels;
  if (subscription_ != nullptr) {
    const auto current = subscription_;
    channels.push_back(to->key);
    auto added = co_await current->async_add(ctx, std::move(channels));
    if (!added) co_return std::move(added).error();
    if (current != subscription_) co_return error(redis::errc::connection_lost, doing);
    to->is_subscribed = true;
    co_return result<>();
  }
  std::vector<origin_ptr> all;
  for (const auto& [key, each] : origins_) {
    all.push_back(each);
    channels.push_back(key);
  }
  auto made = co_await client_.async_subscribe(ctx, std::move(channels));
  if (!made) co_return std::move(made).error();
  subscription_ = std::make_shared<redis::subscription>(std::move(*made));
  for (const auto& each : all) {
    each->is_subscribed = true;
    if (!each->all.empty()) plan(*each, clock::now());
  }
  loop_.spawn(hear(subscription_));
  if (!to->is_subscribed) co_return error(redis::errc::connection_lost, doing);
  co_return result<>();
}

asio::awaitable<void> watch::hear(std::shared_ptr<redis::subscription> from) {
  for (;;) {
    const auto heard = co_await from->async_next(loop_.ctx());
    if (loop_.ctx().err() || from != subscription_) co_return;
    if (!heard) break;
    const auto found = origins_.find(heard->channel);
    if (found != origins_.end()) take(*found->second, heard->payload);
  }
  subscription_.reset();
  for (const auto& [key, each] : origins_) each->is_subscribed = false;
  if (!std::exchange(is_subscribing_again_, true)) loop_.spawn(subscribe_again());
}

asio::awaitable<void> watch::subscribe_again() {
  while (!loop_.ctx().err() && subscription_ == nullptr) {
    const auto wanted =
        std::ranges::find_if(origins_, [](const auto& each) { return !each.second->all.empty(); });
    if (wanted == origins_.end()) break;  // the next one that joins subscribes
    const origin_ptr to = wanted->second;
    auto scope = with_timeout(loop_.ctx(), std::max<clock::duration>(retry_of(to->lease), least_patience));
    const auto done = co_await subscribe(scope.ctx(), to);
    if (!done) std::ignore = co_await async_sleep_for(loop_.ctx(), retry_of(to->lease) / 4);
  }
  is_subscribing_again_ = false;
}

void watch::take(origin& from, std::string_view payload) {
  const auto said = parse_news(payload);
  if (!said) return;
  for (const auto& each : said->ends) end(from, each.number, each.text);
  if (said->lease == milliseconds::zero()) {
    end_all(from, errc::origin_lost);
    return;
  }
  const bool follows = said->count == from.count + 1;
  from.count = said->count;
  from.lease = std::max(said->lease, least_lease);
  from.expires = clock::now() + from.lease;
  from.unknown_since.reset();
  if (from.all.empty()) return;
  if (follows) {
    from.look_at = clock::now() + silence_of(from.lease);
  } else {
    plan(from, clock::now());
  }
}

// Looking.

void watch::plan(origin& of, clock::time_point when) {
  of.look_at = when;
  looking_.ring();
}

asio::awaitable<void> watch::look_on() {
  while (!loop_.ctx().err()) {
    const auto now = clock::now();
    auto next = clock::time_point::max();
    std::vector<origin_ptr> due;
    bool has_empty = false;
    for (const auto& [key, each] : origins_) {
      if (each->look_at > now) {
        next = std::min(next, each->look_at);
      } else if (each->all.empty()) {
        has_empty = true;
      } else {
        due.push_back(each);
      }
    }
    if (has_empty) co_await leave_empty();
    if (!due.empty()) {
      co_await look(std::move(due));
    } else if (!has_empty) {
      co_await looking_.wait_until(loop_.ctx(), next);
    }
  }
}

/// Gives up the channels of origins of which nothing has joined any more.
asio::awaitable<void> watch::leave_empty() {
  std::vector<std::string> channels;
  const auto now = clock::now();
  for (auto each = origins_.begin(); each != origins_.end();) {
    auto& one = *each->second;
    if (one.look_at > now || !one.all.empty()) {
      ++each;
    } else if (!one.joins.empty()) {
      one.look_at = now + std::max(one.lease, least_lease);
      ++each;
    } else {
      if (one.is_subscribed) channels.push_back(one.key);
      each = origins_.erase(each);
    }
  }
  if (subscription_ == nullptr || channels.empty()) co_return;
  const auto current = subscription_;
  auto scope = with_timeout(loop_.ctx(), least_patience);
  std::ignore = co_await current->async_remove(scope.ctx(), std::move(channels));
}

asio::awaitable<void> watch::look(std::vector<origin_ptr> due) {
  struct asked {
    origin_ptr of;
    std::vector<std::uint64_t> numbers;
  };
  std::vector<asked> all;
  std::vector<redis::command<redis::reply>> commands;
  clock::duration patience = least_patience;
  const auto now = clock::now();
  for (const auto& each : due) {
    each->look_at = clock::time_point::max();
    patience = std::max(patience, std::clamp<clock::duration>(each->expires - now, retry_of(each->lease),
                                                              2 * retry_of(each->lease)));
    std::vector<std::uint64_t> numbers;
    for (const auto& [number, one] : each->all) {
      if (numbers.empty() || numbers.back() != number) numbers.push_back(number);
      if (numbers.size() < numbers_at_once) continue;
      commands.push_back(scripts::look(each->key, numbers));
      all.push_back({each, std::exchange(numbers, {})});
    }
    if (numbers.empty()) continue;
    commands.push_back(scripts::look(each->key, numbers));
    all.push_back({each, std::move(numbers)});
  }
  auto scope = with_timeout(loop_.ctx(), patience);
  const auto got = co_await client_.async_run_all(scope.ctx(), std::move(commands));
  if (loop_.ctx().err()) co_return;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto& reply = got && i < got->size() ? (*got)[i] : redis::result<redis::reply>(redis::reply());
    const auto answer = reply && !reply->is_error() ? scripts::read_look(*reply) : std::nullopt;
    if (answer && answer->found.size() == all[i].numbers.size()) {
      judge(*all[i].of, *answer, all[i].numbers);
    } else {
      judge_silence(*all[i].of);
    }
  }
}

/// \param numbers  What the answer is about.
void watch::judge(origin& of, const scripts::look_answer& answer, const std::vector<std::uint64_t>& numbers) {
  const auto now = clock::now();
  const bool is_other_server = !of.server.empty() && of.server != answer.server;
  if (answer.left < milliseconds::zero()) {
    // A server that has lost the key gets it again, if the origin lives: at its next beat.
    if (is_other_server) {
      if (!of.unknown_since) of.unknown_since = now;
      if (now - *of.unknown_since < 2 * silence_of(of.lease)) {
        plan(of, now + retry_of(of.lease));
        return;
      }
    }
    end_all(of, errc::origin_lost);
    return;
  }
  // Where some were not asked about, a message about them may still be missing.
  if (!numbers.empty() || of.all.empty()) of.count = answer.count;
  of.lease = std::max(answer.lease, least_lease);
  of.expires = now + answer.left;
  if (of.server.empty() || !answer.is_being_restored) of.server = answer.server;
  of.unknown_since.reset();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto& found = answer.found[i];
    if (!found) {
      if (!answer.is_being_restored && !is_other_server) end(of, numbers[i], {});
    } else if (found->starts_with('!')) {
      end(of, numbers[i], std::string_view(*found).substr(1));
    }
  }
  if (of.all.empty()) return;
  // A key that is there in another server may lack what its origin is about to write.
  const auto next = is_other_server || answer.is_being_restored ? retry_of(of.lease) : silence_of(of.lease);
  plan(of, std::min(now + next, of.expires + after_expiry));
}

/// No answer has come.
void watch::judge_silence(origin& of) {
  const auto now = clock::now();
  if (now >= of.expires && options_.redis_away() == when_away::end) {
    end_all(of, errc::hub_lost);
    return;
  }
  const auto soon = now + retry_of(of.lease) / 2;
  plan(of, now < of.expires ? std::min(soon, of.expires) : soon);
}

// Ends.

cause watch::cause_of(std::string_view text) const {
  const auto read = parse_end(text, options_.categories());
  return read ? read->why : cause(errc::origin_ended);
}

/// \param text  Of the end; empty: it is not known.
void watch::end(origin& of, std::uint64_t number, std::string_view text) {
  for (auto& each : of.joins) {
    if (each.number == number && !each.end) each.end = text;
  }
  const auto [begin, behind] = of.all.equal_range(number);
  if (begin == behind) return;
  auto read = parse_end(text, options_.categories());
  std::vector<curfew::canceler> ended;
  for (auto each = begin; each != behind; ++each) {
    const auto& deadline = each->second.deadline;
    const bool ends_by_itself =
        read && read->by_deadline && deadline && *deadline <= clock::now() + near_deadline;
    if (!ends_by_itself) ended.push_back(each->second.canceler);
  }
  count_.fetch_sub(static_cast<std::size_t>(std::distance(begin, behind)), std::memory_order_relaxed);
  of.all.erase(begin, behind);
  if (of.all.empty()) plan(of, clock::now() + of.lease);
  const cause why = read ? read->why : cause(errc::origin_ended);
  for (const auto& each : ended) each.cancel(why);
}

void watch::end_all(origin& of, errc why) {
  const auto all = std::exchange(of.all, {});
  count_.fetch_sub(all.size(), std::memory_order_relaxed);
  plan(of, clock::now() + of.lease);
  for (const auto& [number, each] : all) each.canceler.cancel(why);
}

void watch::close() {
  for (const auto& [key, each] : origins_) end_all(*each, errc::hub_lost);
  origins_.clear();
  subscription_.reset();
}

}  // namespace curfew::remote
