#include "redis/client_state.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/io/wait.hpp>
#include <mutex>
#include <string_view>
#include <utility>

#include "redis/format.hpp"

namespace curfew::redis {

namespace asio = boost::asio;

namespace {

constexpr task_kind command_kind("Redis command");

/// What a thread waits for.
class blocked final : public answers_completion {
 public:
  void keep(std::shared_ptr<void> /*operation*/) noexcept override {}
  void complete(answers value, bool /*here*/) override {
    {
      const std::lock_guard guard(mutex_);
      got_.emplace(std::move(value));
    }
    // A thread mostly reads its own answer, and nobody waits: then this is no system call.
    is_there_.notify_one();
  }
  answers take() {
    std::unique_lock lock(mutex_);
    is_there_.wait(lock, [this] { return got_.has_value(); });
    return std::move(*got_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable is_there_;
  std::optional<answers> got_;
};

std::shared_ptr<operation> make_operation(const context& ctx, std::string bytes, std::size_t commands) {
  auto made = std::make_shared<operation>(ctx, std::move(bytes), commands);
  if (curfew::detail::task_listener() != nullptr) {
    made->shown =
        curfew::detail::open_task(ctx, command_kind, made->doing(), std::source_location::current());
  }
  return made;
}

asio::execution_context& context_of(const asio::any_io_executor& loop) {
  return asio::query(loop, asio::execution::context);
}

asio::awaitable<answers> no_answers(error why) { co_return why; }

}  // namespace

error client_gone(std::string doing) {
  return {make_error_code(curfew::errc::canceled), std::move(doing), "the client was destroyed"};
}

lane::lane(asio::execution_context& loop, const std::shared_ptr<const settings>& with,
           const std::shared_ptr<connector>& by, std::shared_ptr<lanes_of_loop> among)
    : among_(std::move(among)) {
  const auto count = std::max<std::size_t>(with->options.connections(), 1);
  for (std::size_t i = 0; i < count; ++i)
    connections_.push_back(std::make_shared<connection>(loop, with, by, use::shared));
}

const std::shared_ptr<connection>& lane::pick() const noexcept {
  if (connections_.size() == 1) return connections_.front();
  return *std::ranges::min_element(connections_, {}, [](const auto& each) { return each->load(); });
}

void lane::close(const error& why) noexcept {
  for (const auto& each : connections_) each->close(why);
  const std::lock_guard before_the_loop_goes(among_->mutex);
}

void lane::drop() noexcept {
  dropped_.store(true, std::memory_order_release);
  for (const auto& each : connections_) each->drop();
}

/// What an event loop drops when it goes.
///
/// A loop's services are shut down in the reverse order of their making, in a thread that does not keep the client's from
/// working at its connections. So what sockets need is made before this one: connections are dropped first, each under its
/// mutex, and none is touched from there on.
class client_state::service final : public asio::execution_context::service {
 public:
  inline static asio::execution_context::id id;  // NOLINT(readability-identifier-naming): Asio's name

  explicit service(asio::execution_context& owner) : asio::execution_context::service(owner) {
    const asio::basic_stream_socket<asio::generic::stream_protocol, inline_executor> first{
        inline_executor(owner)};
  }

  void add(const std::shared_ptr<lane>& one) const {
    const std::lock_guard guard(lanes->mutex);
    auto& all = lanes->all;
    if (all.size() == all.capacity()) std::erase_if(all, [](const auto& each) { return each.expired(); });
    all.push_back(one);
  }

  const std::shared_ptr<lanes_of_loop> lanes = std::make_shared<lanes_of_loop>();

 private:
  void shutdown() override {
    std::vector<std::shared_ptr<lane>> all;
    {
      const std::lock_guard guard(lanes->mutex);
      for (const auto& each : lanes->all) {
        if (auto one = each.lock()) all.push_back(std::move(one));
      }
      lanes->all.clear();
    }
    for (const auto& each : all) each->drop();
  }
};

client_state::client_state(settings with)
    : with_(std::make_shared<const settings>(std::move(with))),
      engine_(std::make_shared<engine>(with_)) {}

std::shared_ptr<connection> client_state::connection_of(asio::execution_context& loop) {
  const std::lock_guard guard(mutex_);
  if (closed_) return nullptr;
  if (const auto found = lanes_.find(&loop); found != lanes_.end()) {
    if (!found->second->is_dropped()) return found->second->pick();
    lanes_.erase(found);  // of a loop that is gone, at the same place
  }
  std::erase_if(lanes_, [](const auto& each) { return each.second->is_dropped(); });
  const auto& of_loop = asio::use_service<service>(loop);
  auto made = std::make_shared<lane>(loop, with_, engine_, of_loop.lanes);
  of_loop.add(made);
  lanes_.emplace(&loop, made);
  return made->pick();
}

// Commands.

answers client_state::exchange(const context& ctx, std::string bytes, std::size_t commands) {
  const auto on = connection_of(engine_->loop());
  if (!on) return client_gone(detail::shown(bytes));
  return exchange_on(on, ctx, std::move(bytes), commands);
}

asio::awaitable<answers> client_state::async_exchange(const asio::any_io_executor& here, context ctx,
                                                      std::string bytes, std::size_t commands) {
  auto on = connection_of(context_of(here));
  if (!on) return no_answers(client_gone(detail::shown(bytes)));
  return async_exchange_on(std::move(on), here, std::move(ctx), std::move(bytes), commands);
}

answers client_state::exchange_on(const std::shared_ptr<connection>& on, const context& ctx,
                                  std::string bytes, std::size_t commands) {
  const auto op = make_operation(ctx, std::move(bytes), commands);
  const auto waiting = std::make_shared<blocked>();
  op->waiting = waiting;
  const curfew::detail::waiting_for told("Redis");
  on->run(op);
  return waiting->take();
}

// No coroutine: each costs a frame.
asio::awaitable<answers> client_state::async_exchange_on(std::shared_ptr<connection> on,
                                                         const asio::any_io_executor& here, context ctx,
                                                         std::string bytes, std::size_t commands) {
  auto op = make_operation(ctx, std::move(bytes), commands);
  op->is_of_loop = &context_of(here) == &on->loop();
  auto start = [op = std::move(op), on = std::move(on), here](
                   const context& /*of*/, std::shared_ptr<curfew::detail::local_completion<answers>> done) {
    op->waiting = std::move(done);
    on->submit(op, op->is_of_loop ? &here : nullptr);
  };
  return curfew::detail::initiate_locally<answers>(asio::use_awaitable, std::move(ctx), std::move(start));
}

// Commands that wait in the server.

struct client_state::waiting_call {
  explicit waiting_call(const context& living) : is_over(with_cancel(living)) {}

  std::shared_ptr<connection> on;
  std::shared_ptr<operation> op;
  cancel_scope gives_up = with_cancel(background());
  cancel_scope is_over;
};

answers client_state::wait(const context& ctx, std::string bytes) {
  const auto waiting = std::make_shared<blocked>();
  if (!begin_waiting(ctx, std::move(bytes), waiting)) return client_gone();
  const curfew::detail::waiting_for told("Redis");
  return waiting->take();
}

asio::awaitable<answers> client_state::async_wait(context ctx, std::string bytes) {
  auto start = [&](const context& of, std::shared_ptr<curfew::detail::local_completion<answers>> done) {
    if (!begin_waiting(of, std::move(bytes), done)) done->complete(client_gone(), false);
  };
  auto got = co_await curfew::detail::initiate_locally<answers>(asio::use_awaitable, std::move(ctx),
                                                                std::ref(start));
  co_return got;
}

bool client_state::begin_waiting(const context& ctx, std::string bytes,
                                 const std::shared_ptr<answers_completion>& done) {
  auto run = [self = shared_from_this(), ctx, bytes = std::move(bytes), done]() -> asio::awaitable<void> {
    // g++ 12: nothing of the closure is used behind the first co_await that it may not outlive
    const auto told = done;  // NOLINT(performance-unnecessary-copy-initialization)
    std::optional<answers> got;
    try {
      got = co_await self->run_waiting(ctx, bytes);
    } catch (const std::exception& e) {
      got = error(errc::connection_failed, {}, e.what(), outcome::unknown);
    }
    told->complete(std::move(*got), false);
  };
  return engine_->spawn(std::move(run));
}

std::shared_ptr<connection> client_state::take_waiting() {
  const std::lock_guard guard(mutex_);
  if (closed_) return nullptr;
  while (!idle_.empty()) {
    auto one = std::move(idle_.back());
    idle_.pop_back();
    if (one->is_open()) return one;
  }
  auto made = std::make_shared<connection>(engine_->loop(), with_, engine_, use::waiting);
  std::erase_if(own_, [](const auto& each) { return each.expired(); });
  own_.push_back(made);
  return made;
}

void client_state::give_back(std::shared_ptr<connection> one) {
  const std::lock_guard guard(mutex_);
  if (!closed_) idle_.push_back(std::move(one));
}

asio::awaitable<answers> client_state::run_waiting(context ctx, std::string bytes) {
  const std::string doing = detail::shown(bytes);
  if (ctx.err()) co_return error(curfew::error::ended(ctx, doing));
  auto call = std::make_shared<waiting_call>(engine_->living());
  call->on = take_waiting();
  if (!call->on) co_return client_gone(doing);
  call->op = make_operation(call->gives_up.ctx(), std::move(bytes), 1);

  auto end = [self = shared_from_this(), weak = std::weak_ptr(call)] {
    self->engine_->spawn([self, weak]() -> asio::awaitable<void> {
      const auto holds = self;  // NOLINT(performance-unnecessary-copy-initialization): for g++ 12, as above
      auto found = weak.lock();
      if (found) co_await holds->cut_off(std::move(found));
    });
  };
  std::optional<answers> got;
  {
    const on_done watch(ctx, std::move(end));
    const asio::any_io_executor here = co_await asio::this_coro::executor;
    auto start = [&](const context& /*of*/, std::shared_ptr<curfew::detail::local_completion<answers>> done) {
      call->op->waiting = std::move(done);
      call->on->submit(call->op, &here);
    };
    got = co_await curfew::detail::initiate_locally<answers>(asio::use_awaitable, call->gives_up.ctx(),
                                                             std::ref(start));
  }
  call->is_over.cancel();
  if (!ctx.err()) {
    if (*got) give_back(std::move(call->on));
    co_return std::move(*got);
  }
  // Not used again: it may be woken once more.
  call->on->close(client_gone());
  if (*got && !(*got)->front().is_nil()) co_return std::move(*got);
  const auto became = *got ? outcome::did_not_happen : got->error().outcome();
  co_return error(ctx.err(), doing, *got ? std::string() : got->error().text(), became, ctx.cause());
}

asio::awaitable<void> client_state::cut_off(std::shared_ptr<waiting_call> call) {
  const asio::any_io_executor here = co_await asio::this_coro::executor;
  const auto id = call->on->id();
  const auto grace = with_timeout(call->is_over.ctx(), options().grace());
  if (call->on->was_sent(*call->op) && id != 0) {
    const std::string number = std::to_string(id);
    const std::vector<std::string_view> words{"CLIENT", "UNBLOCK", number};
    const std::string unblock = format(words);
    clock::duration pause = std::chrono::milliseconds(1);
    while (!grace.ctx().err()) {
      auto woken = co_await async_exchange(here, grace.ctx(), unblock, 1);
      if (!woken || woken->front().is_error()) break;                // it may not be allowed
      if (woken->front().integer() != 0) pause = options().grace();  // its answer is on its way
      std::ignore = co_await async_sleep_for(grace.ctx(), pause);    // else it came before the command
      pause *= 2;
    }
  }
  call->gives_up.cancel();
}

// Messages.

std::shared_ptr<connection> client_state::make_listener() {
  const std::lock_guard guard(mutex_);
  if (closed_) return nullptr;
  auto made = std::make_shared<connection>(engine_->loop(), with_, engine_, use::messages);
  std::erase_if(own_, [](const auto& each) { return each.expired(); });
  own_.push_back(made);
  return made;
}

void client_state::close() noexcept {
  std::vector<std::shared_ptr<lane>> lanes;
  std::vector<std::shared_ptr<connection>> own;
  {
    const std::lock_guard guard(mutex_);
    closed_ = true;
    for (auto& [loop, each] : lanes_) lanes.push_back(std::move(each));
    lanes_.clear();
    own = std::exchange(idle_, {});
    for (const auto& each : own_) {
      if (auto one = each.lock()) own.push_back(std::move(one));
    }
    own_.clear();
  }
  const error why = client_gone();
  for (const auto& each : lanes) each->close(why);
  for (const auto& each : own) each->close(why);
  engine_->close();
}

}  // namespace curfew::redis
