#include "remote/queue_caller.hpp"

#include <algorithm>
#include <chrono>
#include <curfew/io/sync.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/redis.hpp>
#include <tuple>
#include <utility>
#include <vector>

#include "remote/random_name.hpp"

namespace curfew::remote {

namespace asio = boost::asio;

namespace {

constexpr std::size_t read_at_once = 1000;
constexpr std::string_view doing = "a job of a queue";

std::chrono::milliseconds in_ms(clock::duration d) { return std::chrono::ceil<std::chrono::milliseconds>(d); }

}  // namespace

queue_caller::queue_caller(hub& h, std::string stream, const queue_options& options)
    : hub_(h),
      client_(h.client()),
      stream_(std::move(stream)),
      options_(options),
      results_(stream_ + ":answers:" + random_name()) {}

queue_caller::~queue_caller() {
  asio::post(loop_.io(), [this] { loop_.spawn(close()); });
  loop_.join();
}

asio::awaitable<void> queue_caller::close() {
  loop_.end();
  bool was_open = false;
  {
    const std::lock_guard guard(mutex_);
    was_open = is_open_;
  }
  if (!was_open) co_return;
  const auto limit = with_timeout(background(), std::chrono::seconds(1));
  std::ignore = co_await client_.async_run(limit.ctx(), redis::del(results_));
}

queue_caller::place::place(queue_caller& of) : of_(of) {
  const std::lock_guard guard(of_.mutex_);
  number_ = std::to_string(++of_.last_number_);
  of_.waiting_.emplace(number_, call_);
}

queue_caller::place::~place() {
  const std::lock_guard guard(of_.mutex_);
  of_.waiting_.erase(number_);
}

// Calls.

redis::command<std::optional<std::string>> queue_caller::push(const std::string& ticket,
                                                              const std::string& number,
                                                              std::string job) const {
  scripts::queued_job made;
  made.ticket = ticket;
  if (!number.empty()) made.results = results_;
  made.number = number;
  made.body = std::move(job);
  return scripts::push(stream_, options_.max_length(), made);
}

error queue_caller::refusal(const redis::result<std::optional<std::string>>& pushed) {
  if (!pushed) return static_cast<const error&>(pushed.error());  // as an error of curfew
  return error(errc::queue_full, std::string(doing));
}

result<std::string> queue_caller::outcome(const context& ctx, result<std::optional<result<std::string>>> got,
                                          const std::string& id) {
  if (got && *got) return std::move(**got);
  forget(id);
  return error::ended(ctx, std::string(doing));
}

result<std::string> queue_caller::run(const context& ctx, std::string job) {
  if (auto done = open(ctx); !done) return std::move(done).error();
  const auto mine = hub_.share(ctx);
  if (!mine) return mine.error();
  const place waiting(*this);
  auto pushed = client_.run(mine->ctx(), push(mine->ticket(), waiting.number(), std::move(job)));
  if (!pushed || !*pushed) return refusal(pushed);
  return outcome(mine->ctx(), waiting.waits().answer.receive(mine->ctx()), **pushed);
}

asio::awaitable<result<std::string>> queue_caller::async_run(context ctx, std::string job) {
  auto opened = co_await async_open(ctx);
  if (!opened) co_return std::move(opened).error();
  const auto mine = co_await hub_.async_share(ctx);
  if (!mine) co_return mine.error();
  const place waiting(*this);
  auto command = push(mine->ticket(), waiting.number(), std::move(job));
  auto pushed = co_await client_.async_run(mine->ctx(), std::move(command));
  if (!pushed || !*pushed) co_return refusal(pushed);
  auto got = co_await async_receive(mine->ctx(), waiting.waits().answer);
  co_return outcome(mine->ctx(), std::move(got), **pushed);
}

result<std::string> queue_caller::post(const context& ctx, std::string job) {
  auto pushed = client_.run(ctx, push({}, {}, std::move(job)));
  if (!pushed || !*pushed) return refusal(pushed);
  return std::move(**pushed);
}

asio::awaitable<result<std::string>> queue_caller::async_post(context ctx, std::string job) {
  auto command = push({}, {}, std::move(job));
  auto pushed = co_await client_.async_run(std::move(ctx), std::move(command));
  if (!pushed || !*pushed) co_return refusal(pushed);
  co_return std::move(**pushed);
}

/// A job that nobody waits for any more goes, if no worker has it. One that has it learns by its context.
void queue_caller::forget(const std::string& id) {
  asio::post(loop_.io(), [this, id] { loop_.spawn(remove(id)); });
}

asio::awaitable<void> queue_caller::remove(std::string id) {
  std::ignore = co_await client_.async_run(loop_.ctx(), redis::xdel(stream_, id));
}

// Answers.

namespace {

/// An entry that says nothing: it makes the stream.
redis::command<std::optional<std::string>> first_entry(const std::string& stream) {
  return redis::xadd(stream, {{"n", ""}});
}

}  // namespace

result<> queue_caller::open(const context& ctx) {
  {
    const std::lock_guard guard(mutex_);
    if (is_open_) return {};
  }
  auto made = client_.run_atomically(ctx, first_entry(results_),
                                     redis::expire(results_, in_ms(hub_.options().lease())));
  if (!made) return std::move(made).error();
  auto& [entry, kept] = *made;
  if (!entry) return std::move(entry).error();
  begin_reading(entry->value());
  return {};
}

asio::awaitable<result<>> queue_caller::async_open(context ctx) {
  {
    const std::lock_guard guard(mutex_);
    if (is_open_) co_return result<>();
  }
  auto made = co_await client_.async_run_atomically(ctx, first_entry(results_),
                                                    redis::expire(results_, in_ms(hub_.options().lease())));
  if (!made) co_return std::move(made).error();
  auto& [entry, kept] = *made;
  if (!entry) co_return std::move(entry).error();
  begin_reading(entry->value());
  co_return result<>();
}

void queue_caller::begin_reading(std::string after) {
  {
    const std::lock_guard guard(mutex_);
    if (std::exchange(is_open_, true)) return;  // another call was first; its stream is the same
  }
  asio::post(loop_.io(),
             [this, after = std::move(after)]() mutable { loop_.spawn(read_answers(std::move(after))); });
}

asio::awaitable<void> queue_caller::read_answers(std::string after) {
  const context ctx = loop_.ctx();
  const auto lease = in_ms(hub_.options().lease());
  const auto how =
      redis::xread_options().count(read_at_once).wait(std::max(lease / 3, std::chrono::milliseconds(1)));
  auto renewed = clock::now();
  while (!ctx.err()) {
    auto got = co_await client_.async_run(ctx, redis::xread_blocking(results_, after, how));
    std::vector<std::string> ids;
    if (got && !got->empty()) {
      for (const auto& each : got->front().entries) {
        take(each);
        ids.push_back(each.id);
      }
      after = ids.back();
    }
    if (!ids.empty()) std::ignore = co_await client_.async_run(ctx, redis::xdel(results_, ids));
    if (got && clock::now() - renewed < lease / 4) continue;
    auto kept = co_await client_.async_run(ctx, redis::expire(results_, lease));
    if (kept) renewed = clock::now();
    if (kept && !*kept) {
      // Gone: the lease was over, or Redis has lost it. Workers keep the answers to what is still waited for.
      auto made =
          co_await client_.async_run_atomically(ctx, first_entry(results_), redis::expire(results_, lease));
      if (made && std::get<0>(*made)) after = std::get<0>(*made)->value();
    }
    if (!got || !kept) {
      constexpr auto pause = std::chrono::milliseconds(50);
      std::ignore = co_await async_sleep_for(ctx, pause);
    }
  }
}

void queue_caller::take(const redis::stream_entry& entry) {
  const auto* number = entry.find("n");
  const auto* kind = entry.find("k");
  const auto* body = entry.find("b");
  if (number == nullptr || kind == nullptr || body == nullptr) return;
  std::shared_ptr<call> found;
  {
    const std::lock_guard guard(mutex_);
    const auto it = waiting_.find(*number);
    if (it == waiting_.end()) return;
    found = it->second;
  }
  result<std::string> answer;
  if (*kind == "ok") {
    answer = *body;
  } else {
    answer = error(*kind == "gave up" ? errc::gave_up : errc::job_failed, *body);
  }
  std::ignore = found->answer.try_send(std::move(answer));  // full: it is not the first
}

}  // namespace curfew::remote
