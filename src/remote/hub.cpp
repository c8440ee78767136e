#include <boost/asio/detached.hpp>
#include <curfew/remote/hub.hpp>
#include <future>
#include <stdexcept>

#include "remote/lease.hpp"
#include "remote/loop.hpp"
#include "remote/watch.hpp"

namespace asio = boost::asio;

namespace curfew::remote {

namespace {

constexpr std::chrono::milliseconds least_lease{30};

hub_options checked(hub_options options) {
  if (options.lease() < least_lease)
    throw std::invalid_argument("curfew::remote::hub: a lease of less than 30 ms");
  return options;
}

}  // namespace

hub_options& hub_options::carry(const curfew::key<std::string>& key) {
  return carry<std::string>(
      key, [](const std::string& value) { return value; },
      [](std::string_view text) { return std::optional(std::string(text)); });
}

class hub::impl {
 public:
  impl(redis::client& client, const hub_options& options)
      : client_(client),
        options_(checked(options)),
        lease_(loop_, client, options_),
        watch_(loop_, client, options_) {
    asio::post(loop_.io(), [this] { loop_.spawn(watch_.look_on()); });
  }
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
  ~impl() {
    asio::post(loop_.io(), [this] { loop_.spawn(close()); });
    loop_.join();
  }

  void start_share(context ctx, extend::handler<result<shared>> complete) {
    asio::co_spawn(loop_.io(), share(std::move(ctx), std::move(complete)), asio::detached);
  }
  void start_join(context own, std::string ticket, extend::handler<result<cancel_scope>> complete) {
    asio::co_spawn(loop_.io(), join(std::move(own), std::move(ticket), std::move(complete)), asio::detached);
  }

  [[nodiscard]] redis::client& client() const noexcept { return client_; }
  [[nodiscard]] const hub_options& options() const noexcept { return options_; }
  [[nodiscard]] std::size_t shared_count() const noexcept { return lease_.count(); }
  [[nodiscard]] std::size_t joined_count() const noexcept { return watch_.count(); }

 private:
  asio::awaitable<void> share(context ctx, extend::handler<result<shared>> complete) {
    auto made = co_await lease_.share(std::move(ctx));
    complete(std::move(made));
  }
  asio::awaitable<void> join(context own, std::string ticket,
                             extend::handler<result<cancel_scope>> complete) {
    auto made = co_await watch_.join(std::move(own), std::move(ticket));
    complete(std::move(made));
  }
  asio::awaitable<void> close() {
    watch_.close();
    co_await lease_.close();
    loop_.end();
  }

  redis::client& client_;
  hub_options options_;
  hub_loop loop_;
  lease lease_;
  watch watch_;
};

hub::hub(redis::client& client, const hub_options& options)
    : impl_(std::make_unique<impl>(client, options)) {}

hub::~hub() = default;

result<shared> hub::share(const context& ctx) {
  std::promise<result<shared>> made;
  auto waiting = made.get_future();
  impl_->start_share(ctx, [&made](result<shared> one) { made.set_value(std::move(one)); });
  return waiting.get();
}

result<cancel_scope> hub::join(const context& own, std::string_view ticket) {
  std::promise<result<cancel_scope>> made;
  auto waiting = made.get_future();
  impl_->start_join(own, std::string(ticket),
                    [&made](result<cancel_scope> one) { made.set_value(std::move(one)); });
  return waiting.get();
}

void hub::start_share(context ctx, extend::handler<result<shared>> complete) {
  impl_->start_share(std::move(ctx), std::move(complete));
}

void hub::start_join(context own, std::string ticket, extend::handler<result<cancel_scope>> complete) {
  impl_->start_join(std::move(own), std::move(ticket), std::move(complete));
}

redis::client& hub::client() const noexcept { return impl_->client(); }
const hub_options& hub::options() const noexcept { return impl_->options(); }
std::size_t hub::shared_count() const noexcept { return impl_->shared_count(); }
std::size_t hub::joined_count() const noexcept { return impl_->joined_count(); }

}  // namespace curfew::remote
