#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/this_coro.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/redis/client.hpp>
#include <curfew/redis/subscription.hpp>
#include <curfew/sync/channel.hpp>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "redis/client_state.hpp"
#include "redis/format.hpp"

namespace curfew::redis {

namespace asio = boost::asio;

/// Lifetime: its connection's listeners refer to it weakly.
class subscription::impl : public std::enable_shared_from_this<subscription::impl> {
 public:
  impl(std::shared_ptr<client_state> client, std::shared_ptr<connection> on)
      : client_(std::move(client)),
        on_(std::move(on)),
        messages_(std::max<std::size_t>(client_->options().max_waiting_messages(), 1)) {}
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
  ~impl() { on_->close(error(make_error_code(curfew::errc::closed), "a subscription")); }

  void listen() {
    on_->on_message([weak = weak_from_this()](reply&& one) {
      if (const auto self = weak.lock()) self->take(std::move(one));
    });
    on_->on_lost([weak = weak_from_this()](const error& why) {
      if (const auto self = weak.lock()) self->end(why);
    });
  }

  result<message> next(const context& ctx) {
    auto got = messages_.receive(ctx);
    return outcome_of(std::move(got));
  }
  asio::awaitable<result<message>> async_next(context ctx) {
    const auto self = shared_from_this();
    auto got = co_await async_receive(std::move(ctx), messages_);
    co_return outcome_of(std::move(got));
  }

  result<> change(const context& ctx, std::string_view word, const std::vector<std::string>& channels) {
    if (channels.empty()) return {};
    return confirmed(client_->exchange_on(on_, ctx, sent(word, channels), channels.size()), channels);
  }
  asio::awaitable<result<>> async_change(context ctx, std::string_view word,
                                         std::vector<std::string> channels) {
    if (channels.empty()) co_return result<>();
    const auto self = shared_from_this();
    const asio::any_io_executor here = co_await asio::this_coro::executor;
    auto got =
        co_await client_->async_exchange_on(on_, here, std::move(ctx), sent(word, channels), channels.size());
    co_return confirmed(std::move(got), channels);
  }

 private:
  /// One command for each, so that each has an answer, also where it is an error.
  static std::string sent(std::string_view word, const std::vector<std::string>& channels) {
    std::string bytes;
    for (const auto& each : channels) {
      const std::vector<std::string_view> words{word, each};
      bytes += format(words);
    }
    return bytes;
  }
  static result<> confirmed(answers got, const std::vector<std::string>& channels) {
    if (!got) return std::move(got).error();
    for (std::size_t i = 0; i < got->size(); ++i) {
      if ((*got)[i].is_error()) return detail::server_error((*got)[i], "SUBSCRIBE " + channels[i]);
    }
    return {};
  }

  void take(reply&& one) {
    auto& items = one.items();
    if (messages_.try_send(message{std::move(items[1].text()), std::move(items[2].text())})) return;
    on_->close(error(errc::too_large, "a subscription", "more messages came than were received"));
  }
  void end(const error& why) {
    {
      const std::lock_guard guard(mutex_);
      if (!ended_by_) ended_by_ = why;
    }
    messages_.close();
  }
  result<message> outcome_of(curfew::result<std::optional<message>> got) {
    if (!got) return got.error();
    if (*got) return std::move(**got);
    const std::lock_guard guard(mutex_);
    return *ended_by_;
  }

  const std::shared_ptr<client_state> client_;
  const std::shared_ptr<connection> on_;
  channel<message> messages_;
  std::mutex mutex_;
  std::optional<error> ended_by_;  // guarded by mutex_; before messages_ is closed
};

subscription::subscription(std::shared_ptr<impl> made) noexcept : impl_(std::move(made)) {}
subscription::subscription(subscription&& other) noexcept = default;
subscription& subscription::operator=(subscription&& other) noexcept = default;
subscription::~subscription() = default;

result<message> subscription::next(const context& ctx) { return impl_->next(ctx); }
asio::awaitable<result<message>> subscription::async_next(context ctx) {
  return impl_->async_next(std::move(ctx));
}
result<> subscription::add(const context& ctx, std::vector<std::string> channels) {
  return impl_->change(ctx, "SUBSCRIBE", channels);
}
asio::awaitable<result<>> subscription::async_add(context ctx, std::vector<std::string> channels) {
  return impl_->async_change(std::move(ctx), "SUBSCRIBE", std::move(channels));
}
result<> subscription::remove(const context& ctx, std::vector<std::string> channels) {
  return impl_->change(ctx, "UNSUBSCRIBE", channels);
}
asio::awaitable<result<>> subscription::async_remove(context ctx, std::vector<std::string> channels) {
  return impl_->async_change(std::move(ctx), "UNSUBSCRIBE", std::move(channels));
}

namespace {

/// Null: the client is closed.
std::shared_ptr<subscription::impl> make(const std::shared_ptr<client_state>& of) {
  auto on = of->make_listener();
  if (!on) return nullptr;
  auto made = std::make_shared<subscription::impl>(of, std::move(on));
  made->listen();
  return made;
}

}  // namespace

result<subscription> client::subscribe(const context& ctx, std::vector<std::string> channels) {
  auto made = make(state_);
  if (!made) return client_gone("SUBSCRIBE");
  auto done = made->change(ctx, "SUBSCRIBE", channels);
  if (!done) return std::move(done).error();
  return subscription(std::move(made));
}

asio::awaitable<result<subscription>> client::async_subscribe(context ctx,
                                                              std::vector<std::string> channels) {
  auto made = make(state_);
  if (!made) co_return client_gone("SUBSCRIBE");
  auto done = co_await made->async_change(std::move(ctx), "SUBSCRIBE", std::move(channels));
  if (!done) co_return std::move(done).error();
  co_return subscription(std::move(made));
}

}  // namespace curfew::redis
