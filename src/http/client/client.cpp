#include <curfew/http/client.hpp>
#include <future>
#include <memory>
#include <utility>

#include "http/client/client_engine.hpp"
#include "http/client/client_transfer.hpp"

namespace curfew::http {

struct client::impl {
  explicit impl(client_options options) : engine(std::make_shared<client_engine>(std::move(options))) {
    client_engine::start(engine);
  }

  std::shared_ptr<client_engine> engine;
};

namespace {

/// Runs `start(handler)` and waits for the handler to be called.
template <class T, class Start>
T wait_for(Start start) {
  std::promise<T> promise;
  std::future<T> future = promise.get_future();
  start([promise = std::move(promise)](T value) mutable { promise.set_value(std::move(value)); });
  return future.get();
}

}  // namespace

client::client(client_options options) : impl_(std::make_unique<impl>(std::move(options))) {}

client::~client() { impl_->engine->close(); }

result<response> client::send(const context& ctx, const request& what) {
  return wait_for<result<response>>([&](auto complete) { start_send(ctx, what, std::move(complete)); });
}

result<download> client::open(const context& ctx, const request& what) {
  return wait_for<result<download>>([&](auto complete) { start_open(ctx, what, std::move(complete)); });
}

void client::start_send(context ctx, request what, extend::handler<result<response>> complete) {
  auto made = download::transfer::make(impl_->engine, ctx, std::move(what));
  if (!made) {
    complete(std::unexpected(std::move(made.error())));
    return;
  }
  (*made)->on_response = std::move(complete);
  (*made)->launch();
}

void client::start_open(context ctx, request what, extend::handler<result<download>> complete) {
  auto made = download::transfer::make(impl_->engine, ctx, std::move(what));
  if (!made) {
    complete(std::unexpected(std::move(made.error())));
    return;
  }
  (*made)->streaming = true;
  (*made)->on_download = std::move(complete);
  (*made)->launch();
}

client& client::shared() {
  // Never destroyed, since threads and static objects may outlive main; at exit its thread goes, and calls
  // are answered with errc::canceled from then on.
  static client* const made = new client;
  struct closer {
    closer() = default;
    closer(const closer&) = delete;
    closer& operator=(const closer&) = delete;
    ~closer() { made->impl_->engine->close(); }
  };
  static const closer at_exit;
  return *made;
}

result<response> get(const context& ctx, std::string url) {
  return client::shared().send(ctx, request("GET", std::move(url)));
}

download::download(std::shared_ptr<transfer> t) noexcept : transfer_(std::move(t)) {}
download::download(download&&) noexcept = default;

download& download::operator=(download&& other) noexcept {
  download taken(std::move(other));
  std::swap(transfer_, taken.transfer_);
  return *this;
}

download::~download() {
  if (transfer_) transfer_->drop();
}

const response& download::head() const noexcept { return transfer_->head; }

result<std::optional<std::string>> download::read(const context& ctx) {
  return wait_for<result<std::optional<std::string>>>(
      [&](auto complete) { start_read(ctx, std::move(complete)); });
}

void download::start_read(context ctx, extend::handler<result<std::optional<std::string>>> complete) {
  transfer_->start_read(std::move(ctx), std::move(complete));
}

}  // namespace curfew::http
