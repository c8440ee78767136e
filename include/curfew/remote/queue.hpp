#pragma once

#include <boost/asio/awaitable.hpp>
#include <charconv>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/remote/errc.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew::remote {

class hub;

/// How a type stands in a message, to be specialized for types of yours: `codec<picture>` has two functions,
/// `static std::string write(const picture&)` and `static std::optional<picture> read(std::string_view)`, which returns none for what
/// is not one. Those of std::string and of integers are there.
template <class T>
struct codec;

template <>
struct codec<std::string> {
  static std::string write(const std::string& text) { return text; }
  static std::optional<std::string> read(std::string_view text) { return std::string(text); }
};

template <std::integral T>
struct codec<T> {
  static std::string write(T number) { return std::to_string(number); }
  static std::optional<T> read(std::string_view text) {
    T number{};
    const auto [stop, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
    return wrong == std::errc() && stop == text.data() + text.size() ? std::optional(number) : std::nullopt;
  }
};

/// How a queue works. Workers of one queue have the same. Each setter returns the options, so they can be chained; the overload
/// without an argument reads the option.
class queue_options {
 public:
  /// How long a worker may be silent about a job before another one takes it over. Workers that live renew it by themselves at
  /// each third of it. At least 30 ms. Default: 10 s.
  queue_options& job_lease(clock::duration d) { return job_lease_ = d, *this; }
  [[nodiscard]] clock::duration job_lease() const noexcept { return job_lease_; }
  /// How often a job is begun, before it goes to the dead letters. Default: 5.
  queue_options& max_attempts(unsigned count) { return max_attempts_ = count, *this; }
  [[nodiscard]] unsigned max_attempts() const noexcept { return max_attempts_; }
  /// Jobs in the queue, begun or not, from which on a new one is refused with errc::queue_full. Default: 100,000.
  queue_options& max_length(std::size_t count) { return max_length_ = count, *this; }
  [[nodiscard]] std::size_t max_length() const noexcept { return max_length_; }
  /// Dead letters that are kept. Default: 1,000.
  queue_options& max_dead(std::size_t count) { return max_dead_ = count, *this; }
  [[nodiscard]] std::size_t max_dead() const noexcept { return max_dead_; }

 private:
  clock::duration job_lease_ = std::chrono::seconds(10);
  unsigned max_attempts_ = 5;
  std::size_t max_length_ = 100'000;
  std::size_t max_dead_ = 1'000;
};

/// What a worker knows of the job that it is at.
struct job_info {
  std::string id;        ///< In the queue: "1700000000000-0".
  unsigned attempt = 1;  ///< From 2 on it may have been begun before, by a worker that did not end it.
};

/// A job that was given up.
struct dead_letter {
  std::string id;
  std::string job;  ///< As it was sent.
  std::string why;
};

struct queue_stats {
  std::size_t length = 0;  ///< Jobs that are not done.
  std::size_t begun = 0;   ///< Of these, those that workers have.
  std::size_t dead = 0;
};

namespace detail {

/// What a job is answered with.
struct job_answer {
  bool failed = false;
  std::string text;
};

using job_handler = std::function<boost::asio::awaitable<job_answer>(context, std::string, job_info)>;
using blocking_job_handler = std::function<job_answer(const context&, const std::string&, const job_info&)>;

class queue_state;

/// A queue of texts.
class text_queue {
 public:
  text_queue(hub& h, std::string name, const queue_options& options);
  text_queue(const text_queue&) = delete;
  text_queue& operator=(const text_queue&) = delete;
  ~text_queue();

  result<std::string> run(const context& ctx, std::string job);
  boost::asio::awaitable<result<std::string>> async_run(context ctx, std::string job);
  result<std::string> post(const context& ctx, std::string job);
  boost::asio::awaitable<result<std::string>> async_post(context ctx, std::string job);
  result<> work(const context& ctx, blocking_job_handler f, std::size_t at_a_time);
  boost::asio::awaitable<result<>> async_work(context ctx, job_handler f, std::size_t at_a_time);
  result<queue_stats> stats(const context& ctx);
  result<std::vector<dead_letter>> dead_letters(const context& ctx, std::size_t count);
  result<std::size_t> drop_dead_letters(const context& ctx);

 private:
  std::shared_ptr<queue_state> state_;
};

template <class T>
result<T> read_answer(result<std::string>&& got, std::string_view what) {
  if (!got) return std::move(got).error();
  auto value = codec<T>::read(*got);
  if (!value) return error(errc::bad_message, std::string(what));
  return std::move(*value);
}

template <class Answer>
job_answer answer_of(const result<Answer>& got) {
  if (!got) return {true, got.error().message()};
  return {false, codec<Answer>::write(*got)};
}

}  // namespace detail

/// Jobs for workers that may be on other machines, over streams of Redis:
///
///     remote::queue<std::string> thumbnails(hub, "thumbnails");
///     auto made = thumbnails.run(ctx, "cat.jpg");   // result<std::string>
///
/// And in a worker, here or there:
///
///     auto ended = thumbnails.work(ctx, [](const curfew::context& ctx, const std::string& file) {
///       return make_thumbnail(ctx, file);           // result<std::string>; ctx ends when nobody waits for it any more
///     }, 4);
///
/// A job has the context of its `run`: when that ends, or the process dies that waits, the work ends within milliseconds, or
/// within the hub's lease; a job that was not begun yet is not begun.
///
/// Each job is begun at least once as long as someone waits for it, and may be begun again: a worker that dies, or is silent for
/// longer than the job's lease, loses it to another one. So two may be at the same job for a while; the first answer counts. A
/// job that was begun too often goes to the dead letters, and its `run` fails with errc::gave_up. Docs/guide/remote.md has the
/// table of what is promised under which failure.
///
/// \tparam Job, Answer  Types that have a codec.
/// Lifetime:       the hub outlives it; no call may be under way when it goes.
/// Thread safety:  any thread, any number of calls at a time. Not in a child process after a fork.
template <class Job, class Answer = std::string>
class queue {
 public:
  /// \param name  All queues of that name are the same one, whatever process they are in.
  /// Throws: std::invalid_argument of a lease that is too short, std::bad_alloc.
  queue(hub& h, std::string name, const queue_options& options = {}) : texts_(h, std::move(name), options) {}

  /// Has a job done, and waits for its answer.
  ///
  /// Completes when:  a worker has answered, or ctx ends.
  /// Errors:          the end of ctx, with its cause; errc::queue_full; errc::job_failed, with what the worker's function
  ///                  returned; errc::gave_up; errc::bad_message; redis::errc.
  /// Cancellation:    the job's context ends, wherever it is. What a worker has done until then it has done.
  [[nodiscard]] result<Answer> run(const context& ctx, const Job& what) {
    return detail::read_answer<Answer>(texts_.run(ctx, codec<Job>::write(what)), "a job's answer");
  }
  [[nodiscard]] boost::asio::awaitable<result<Answer>> async_run(context ctx, Job what) {
    std::string text = codec<Job>::write(what);
    auto got = co_await texts_.async_run(std::move(ctx), std::move(text));
    co_return detail::read_answer<Answer>(std::move(got), "a job's answer");
  }

  /// Has a job done that nobody waits for: it lives until it is done, whatever becomes of this process.
  /// \return its id. ctx is that of this call alone.
  [[nodiscard]] result<std::string> post(const context& ctx, const Job& what) {
    return texts_.post(ctx, codec<Job>::write(what));
  }
  [[nodiscard]] boost::asio::awaitable<result<std::string>> async_post(context ctx, Job what) {
    std::string text = codec<Job>::write(what);
    auto got = co_await texts_.async_post(std::move(ctx), std::move(text));
    co_return got;
  }

  /// Does jobs until ctx ends, in threads of its own.
  ///
  /// \param f          `result<Answer> f(const context&, const Job&)`, or with a `const job_info&` behind these. Its context
  ///                   ends with the job's and with ctx. It has to obey it. What it throws fails the job.
  /// \param at_a_time  Jobs, and threads.
  /// Completes when:  ctx has ended, and all of its jobs have returned. One that returned an error then is left to others.
  /// Errors:          none but the end of ctx: while Redis is away, it tries again.
  template <class F>
  [[nodiscard]] result<> work(const context& ctx, F f, std::size_t at_a_time = 1) {
    return texts_.work(
        ctx,
        [f = std::move(f)](const context& of, const std::string& text,
                           const job_info& info) -> detail::job_answer {
          const auto job = codec<Job>::read(text);
          if (!job) return {true, "not a job of this queue"};
          if constexpr (std::invocable<const F&, const context&, const Job&, const job_info&>) {
            return detail::answer_of<Answer>(f(of, *job, info));
          } else {
            return detail::answer_of<Answer>(f(of, *job));
          }
        },
        at_a_time);
  }
  /// The same with a coroutine `asio::awaitable<result<Answer>> f(context, Job)`, on the caller's loop, which renews the leases,
  /// too: it must not be blocked for as long.
  template <class F>
  [[nodiscard]] boost::asio::awaitable<result<>> async_work(context ctx, F f, std::size_t at_a_time = 1) {
    detail::job_handler handler = [f = std::move(f)](context of, std::string text, job_info info) {
      return do_job(&f, std::move(of), std::move(text), std::move(info));
    };
    auto ended = co_await texts_.async_work(std::move(ctx), std::move(handler), at_a_time);
    co_return ended;
  }

  [[nodiscard]] result<queue_stats> stats(const context& ctx) { return texts_.stats(ctx); }
  /// The oldest of those that were given up.
  [[nodiscard]] result<std::vector<dead_letter>> dead_letters(const context& ctx, std::size_t count = 100) {
    return texts_.dead_letters(ctx, count);
  }
  /// \return how many there were.
  [[nodiscard]] result<std::size_t> drop_dead_letters(const context& ctx) {
    return texts_.drop_dead_letters(ctx);
  }

 private:
  /// `f` lives as long as the worker.
  template <class F>
  static boost::asio::awaitable<detail::job_answer> do_job(const F* f, context of, std::string text,
                                                           job_info info) {
    auto job = codec<Job>::read(text);
    if (!job) co_return detail::job_answer{true, "not a job of this queue"};
    if constexpr (std::invocable<const F&, context, Job, job_info>) {
      result<Answer> got = co_await (*f)(std::move(of), std::move(*job), std::move(info));
      co_return detail::answer_of<Answer>(got);
    } else {
      result<Answer> got = co_await (*f)(std::move(of), std::move(*job));
      co_return detail::answer_of<Answer>(got);
    }
  }

  detail::text_queue texts_;
};

}  // namespace curfew::remote
