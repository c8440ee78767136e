#include "remote/lease.hpp"

#include <algorithm>
#include <array>
#include <curfew/io/sync.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/redis/client.hpp>
#include <curfew/remote/errc.hpp>
#include <curfew/remote/ticket.hpp>
#include <memory>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include "remote/news.hpp"
#include "remote/random_name.hpp"

namespace asio = boost::asio;

namespace curfew::remote {

namespace {

using std::chrono::milliseconds;

constexpr const char* doing = "sharing a context";
constexpr int beats_of_lease = 3;
constexpr int retries_of_lease = 12;
constexpr std::size_t ends_at_once = 256;
constexpr std::size_t forgotten_at_once = 4096;
constexpr std::size_t restored_at_once = 512;
constexpr milliseconds least_wait{5};
constexpr milliseconds least_patience{100};
constexpr std::chrono::seconds patience_of_close{1};

std::optional<milliseconds> remaining_of(const context& ctx) {
  constexpr milliseconds longest{std::int64_t{1} << 46};  // two thousand years: Redis counts in doubles
  const auto left = ctx.remaining();
  if (!left) return std::nullopt;
  return std::min(std::chrono::floor<milliseconds>(*left) + milliseconds(1), longest);
}

}  // namespace

lease::lease(hub_loop& loop, redis::client& client, const hub_options& options)
    : loop_(loop),
      client_(client),
      options_(options),
      duration_(std::chrono::ceil<milliseconds>(options.lease())),
      beating_(loop.io()) {}

std::string lease::key_of(const std::string& name) {
  ticket of;
  of.origin = name;
  return of.live_key();
}

asio::awaitable<result<shared>> lease::share(context ctx) {
  if (ctx.err()) co_return error::ended(ctx, doing);
  if (living_.size() + starting_ >= options_.most()) co_return error(errc::too_many, doing);
  remote::ticket made;
  for (const auto& each : options_.carried()) {
    if (auto value = each.read(ctx)) made.values.emplace_back(each.name, std::move(*value));
  }
  auto scope = with_cancel(ctx);
  ++starting_;
  const std::unique_ptr<std::size_t, void (*)(std::size_t*)> starting(&starting_,
                                                                      [](std::size_t* n) { --*n; });
  constexpr int attempts = 3;
  for (int attempt = 0; attempt != attempts; ++attempt) {
    if (auto opened = co_await open(ctx); !opened) co_return opened.error();
    const auto generation = generation_;
    const std::string key_here = key();
    made.origin = name_;
    made.number = ++last_number_;
    made.remaining = remaining_of(ctx);
    auto text = made.text(options_.key());
    if (!text) co_return text.error();
    auto added = co_await client_.async_run(ctx, scripts::share(key_here, made.number, made.remaining));
    if (!added) {
      // It may be there, and nobody would end it.
      if (generation == generation_ && added.error().outcome() != redis::outcome::did_not_happen)
        tell(made.number, end_text(ctx));
      co_return std::move(added).error();
    }
    if (generation != generation_) continue;
    if (*added) {
      keep(made.number, scope);
      co_return shared(std::move(scope), std::move(*text));
    }
    co_await beat(generation);  // which finds out what has become of the lease
  }
  co_return error(errc::lease_lost, doing);
}

asio::awaitable<result<>> lease::open(context ctx) {
  if (!name_.empty()) co_return result<>();
  auto lock = co_await async_lock(ctx, opens_);
  if (!lock) co_return lock.error();
  if (!name_.empty()) co_return result<>();
  const auto name = random_name();
  const auto sent = clock::now();
  auto opened = co_await client_.async_run(ctx, scripts::open(key_of(name), duration_));
  if (!opened) co_return std::move(opened).error();  // what is there goes with its lease
  name_ = name;
  server_ = std::move(*opened);
  ++generation_;
  due_ = sent + options_.lease() / beats_of_lease;
  loop_.spawn(beat_on(generation_));
  co_return result<>();
}

void lease::keep(std::uint64_t number, const cancel_scope& scope) {
  auto ending = after_func(scope.ctx(), loop_.door(), [this, number] { on_end(number); });
  living_.emplace(number, living{scope.ctx(), scope.canceler(), std::move(ending)});
  count_.store(living_.size(), std::memory_order_relaxed);
}

void lease::on_end(std::uint64_t number) {
  const auto found = living_.find(number);
  if (found == living_.end()) return;  // of a lease that is lost
  tell(number, end_text(found->second.ctx));
  living_.erase(found);
  count_.store(living_.size(), std::memory_order_relaxed);
}

void lease::tell(std::uint64_t number, std::string text) {
  ended_.emplace_back(number, std::move(text));
  if (std::exchange(is_telling_, true)) return;
  loop_.spawn(tell_all());
}

/// Those that end while the answer is on its way go together in the next message.
asio::awaitable<void> lease::tell_all() {
  while (!ended_.empty() && !loop_.ctx().err()) {
    const auto generation = generation_;
    const auto size = std::min(ended_.size(), ends_at_once);
    std::vector<scripts::number_and_text> batch(ended_.begin(),
                                                ended_.begin() + static_cast<std::ptrdiff_t>(size));
    ended_.erase(ended_.begin(), ended_.begin() + static_cast<std::ptrdiff_t>(size));
    auto scope = with_timeout(loop_.ctx(),
                              std::max<clock::duration>(options_.lease() / beats_of_lease, least_patience));
    auto command = scripts::end(key(), duration_, batch);
    const auto done = co_await client_.async_run(scope.ctx(), std::move(command));
    if (generation != generation_) continue;
    if (done && *done) {
      for (auto& [number, text] : batch) told_.push_back({number, std::move(text), clock::now()});
      continue;
    }
    ended_.insert(ended_.begin(), batch.begin(), batch.end());
    if (done) {
      co_await beat(generation);
    } else {
      const auto wait = std::max<clock::duration>(options_.lease() / retries_of_lease, least_wait);
      std::ignore = co_await async_sleep_for(loop_.ctx(), wait);
    }
  }
  is_telling_ = false;
}

asio::awaitable<void> lease::beat_on(std::uint64_t generation) {
  for (;;) {
    while (clock::now() < due_ && generation == generation_ && !loop_.ctx().err())
      co_await beating_.wait_until(loop_.ctx(), due_);
    if (generation != generation_ || loop_.ctx().err()) co_return;
    co_await beat(generation);
  }
}

asio::awaitable<void> lease::beat(std::uint64_t generation) {
  auto lock = co_await async_lock(loop_.ctx(), beats_);
  if (!lock || generation != generation_) co_return;
  const auto sent = clock::now();
  std::vector<std::uint64_t> forgotten;
  for (const auto& each : told_) {
    if (sent - each.at < options_.lease() || forgotten.size() == forgotten_at_once) break;
    forgotten.push_back(each.number);
  }
  auto scope =
      with_timeout(loop_.ctx(), std::max<clock::duration>(options_.lease() / beats_of_lease, least_patience));
  const auto said = co_await client_.async_run(scope.ctx(), scripts::beat(key(), duration_, forgotten));
  if (generation != generation_) co_return;
  const auto answer = said ? scripts::read_beat(*said) : std::nullopt;
  due_ = clock::now() + std::max<clock::duration>(options_.lease() / retries_of_lease, least_wait);
  if (!answer) co_return;
  if (answer->server != server_) {
    // Another process, which has less than this one knows, or more.
    if (co_await restore(generation)) server_ = answer->server;
    co_return;
  }
  if (!answer->is_there) {
    lose();
    co_return;
  }
  told_.erase(told_.begin(), told_.begin() + static_cast<std::ptrdiff_t>(forgotten.size()));
  if (forgotten.size() < forgotten_at_once) due_ = sent + options_.lease() / beats_of_lease;
}

/// Writes all that lives, and tells again what has ended lately.
asio::awaitable<bool> lease::restore(std::uint64_t generation) {
  std::vector<std::uint64_t> numbers;
  numbers.reserve(living_.size());
  for (const auto& [number, each] : living_) numbers.push_back(number);
  std::size_t begin = 0;
  do {
    std::vector<scripts::number_and_time> part;
    for (; begin < numbers.size() && part.size() < restored_at_once; ++begin) {
      const auto found = living_.find(numbers[begin]);
      if (found != living_.end()) part.emplace_back(found->first, remaining_of(found->second.ctx));
    }
    const bool is_last = begin == numbers.size();
    auto scope = with_timeout(loop_.ctx(),
                              std::max<clock::duration>(options_.lease() / beats_of_lease, least_patience));
    const auto done =
        co_await client_.async_run(scope.ctx(), scripts::restore(key(), duration_, part, is_last));
    if (!done || generation != generation_) co_return false;
  } while (begin < numbers.size());
  for (auto& each : std::exchange(told_, {})) tell(each.number, std::move(each.text));
  co_return true;
}

void lease::lose() {
  name_.clear();
  ++generation_;
  ended_.clear();
  told_.clear();
  beating_.ring();
  const auto lost = std::exchange(living_, {});
  count_.store(0, std::memory_order_relaxed);
  for (const auto& [number, each] : lost) each.canceler.cancel(errc::lease_lost);
}

asio::awaitable<void> lease::close() {
  const auto limit = clock::now() + patience_of_close;
  while (is_telling_ && clock::now() < limit)
    std::ignore = co_await async_sleep_for(loop_.ctx(), milliseconds(1));
  if (name_.empty()) co_return;
  const std::string key_here = key();
  lose();
  auto scope = with_deadline(loop_.ctx(), limit);
  std::ignore = co_await client_.async_run(scope.ctx(), scripts::close(key_here));
}

}  // namespace curfew::remote
