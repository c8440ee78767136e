#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <curfew/io/offload.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote/hub.hpp>
#include <curfew/remote/queue.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <exception>
#include <string>
#include <utility>

#include "remote/queue_caller.hpp"
#include "remote/queue_worker.hpp"

namespace curfew::remote::detail {

namespace asio = boost::asio;

class queue_state {
 public:
  queue_state(hub& h, const std::string& name, const queue_options& o)
      : of(h),
        stream(stream_of(name)),
        options(o),
        caller(h, stream, o) {}

  hub& of;
  const std::string stream;
  const queue_options options;
  queue_caller caller;
};

text_queue::text_queue(hub& h, std::string name, const queue_options& options)
    : state_(std::make_shared<queue_state>(h, name, options)) {}

text_queue::~text_queue() = default;

result<std::string> text_queue::run(const context& ctx, std::string job) {
  return state_->caller.run(ctx, std::move(job));
}
asio::awaitable<result<std::string>> text_queue::async_run(context ctx, std::string job) {
  return state_->caller.async_run(std::move(ctx), std::move(job));
}
result<std::string> text_queue::post(const context& ctx, std::string job) {
  return state_->caller.post(ctx, std::move(job));
}
asio::awaitable<result<std::string>> text_queue::async_post(context ctx, std::string job) {
  return state_->caller.async_post(std::move(ctx), std::move(job));
}

asio::awaitable<result<>> text_queue::async_work(context ctx, job_handler f, std::size_t at_a_time) {
  auto worker =
      std::make_shared<queue_worker>(state_->of, state_->stream, state_->options, std::move(f), at_a_time);
  auto ended = co_await worker->run(std::move(ctx));
  co_return ended;
}

namespace {

asio::awaitable<job_answer> run_blocking(thread_pool& pool, const blocking_job_handler& f, context ctx,
                                         std::string text, job_info info) {
  auto call = [&f, &text, &info](const context& of) -> job_answer {
    try {
      return f(of, text, info);
    } catch (const std::exception& e) {
      return {true, e.what()};
    }
  };
  auto got = co_await async_offload(pool, std::move(ctx), std::move(call));
  if (!got) co_return job_answer{true, got.error().message()};
  co_return std::move(*got);
}

}  // namespace

result<> text_queue::work(const context& ctx, blocking_job_handler f, std::size_t at_a_time) {
  thread_pool pool(static_cast<unsigned>(std::max<std::size_t>(at_a_time, 1)));
  asio::io_context loop(1);
  job_handler handler = [&pool, &f](context of, std::string text, job_info info) {
    return run_blocking(pool, f, std::move(of), std::move(text), std::move(info));
  };
  auto ended = asio::co_spawn(loop, async_work(ctx, std::move(handler), at_a_time), asio::use_future);
  loop.run();
  return ended.get();
}

result<queue_stats> text_queue::stats(const context& ctx) {
  const std::string& stream = state_->stream;
  auto got =
      state_->of.client().run_all(ctx, redis::xlen(stream), redis::raw({"XPENDING", stream, worker_group}),
                                  redis::xlen(dead_letters_of(stream)));
  if (!got) return std::move(got).error();
  auto& [length, pending, dead] = *got;
  if (!length) return std::move(length).error();
  if (!dead) return std::move(dead).error();
  queue_stats made;
  made.length = static_cast<std::size_t>(*length);
  if (pending && !pending->items().empty())
    made.begun = static_cast<std::size_t>(pending->items()[0].integer());
  made.dead = static_cast<std::size_t>(*dead);
  return made;
}

result<std::vector<dead_letter>> text_queue::dead_letters(const context& ctx, std::size_t count) {
  auto got = state_->of.client().run(ctx, redis::xrange(dead_letters_of(state_->stream), "-", "+", count));
  if (!got) return std::move(got).error();
  std::vector<dead_letter> made;
  for (const auto& each : *got) {
    dead_letter& one = made.emplace_back();
    const auto take = [&each](std::string_view name, std::string& to) {
      if (const auto* found = each.find(name)) to = *found;
    };
    take("id", one.id);
    take("b", one.job);
    take("why", one.why);
  }
  return made;
}

result<std::size_t> text_queue::drop_dead_letters(const context& ctx) {
  const std::string key = dead_letters_of(state_->stream);
  auto got = state_->of.client().run_atomically(ctx, redis::xlen(key), redis::del(key));
  if (!got) return std::move(got).error();
  auto& count = std::get<0>(*got);
  if (!count) return std::move(count).error();
  return static_cast<std::size_t>(*count);
}

}  // namespace curfew::remote::detail
