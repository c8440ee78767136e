#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <curfew/http/client.hpp>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "http/client/client_call.hpp"
#include "http/client/client_state.hpp"
#include "http/client/transfer.hpp"
#include "http/message/message_access.hpp"
#include "http/wire/loop.hpp"

namespace curfew::http {

namespace asio = boost::asio;

struct client::impl {
  explicit impl(client_options options) : state(std::make_shared<client_state>(std::move(options))) {}

  std::shared_ptr<client_state> state;
};

namespace {

/// For an error before there is a call. \param what  Null: a download.
std::string name_of(const request* what) {
  return what != nullptr ? what->method() + ' ' + shown_url(what->target()) : "reading the body";
}

/// A thread that runs a loop until its call is over.
template <class T>
class waiting_thread final : public detail::completion<T> {
 public:
  explicit waiting_thread(std::shared_ptr<loop> in) : in_(std::move(in)) {}

  void keep(std::shared_ptr<void> operation) noexcept override { kept_ = std::move(operation); }
  void complete(T value, bool /*here*/) override {
    if (claimed_.exchange(true)) return;
    value_.emplace(std::move(value));
    const std::shared_ptr<void> over = std::move(kept_);
    const std::shared_ptr<loop> in = in_;                     // from here on this may go
    const bool here = std::this_thread::get_id() == waiter_;  // then it looks before it waits
    ready_.store(true, std::memory_order_release);
    if (!here) in->wake();
  }

  T wait() {
    while (!ready_.load(std::memory_order_acquire)) in_->run_once();
    return *std::move(value_);
  }

 private:
  const std::shared_ptr<loop> in_;
  const std::thread::id waiter_ = std::this_thread::get_id();
  std::shared_ptr<void> kept_;
  std::optional<T> value_;
  std::atomic<bool> claimed_{false};
  std::atomic<bool> ready_{false};
};

/// Runs `start(loop, completion)` and waits for its end.
template <class T, class Start>
T wait_for(client_state& state, const request* what, Start start) {
  std::shared_ptr<loop> in;
  try {
    in = state.borrow_loop();
  } catch (const std::system_error& e) {
    return error(e.code(), name_of(what));
  }
  const auto waits = std::make_shared<waiting_thread<T>>(in);
  start(in, waits);
  T value = waits->wait();
  state.give_back(std::move(in));
  return value;
}

/// The loop of the one that waits; null, if the system has no descriptors for it: then it has been told.
template <class T>
std::shared_ptr<loop> loop_of(detail::local_completion<T>& complete, const request* what) {
  try {
    return loop::of(complete.where());
  } catch (const std::system_error& e) {
    complete.complete(error(e.code(), name_of(what)), false);
    return nullptr;
  }
}

}  // namespace

client::client(client_options options) : impl_(std::make_unique<impl>(std::move(options))) {}

client::~client() { impl_->state->close(); }

namespace {

/// Has a source to be run by the thread that waits?
bool has_source(const request& what) noexcept {
  return what.streams() && request_access::streamed(what)->source;
}

/// Waits for an asynchronous call on an io_context of this thread's own.
template <class T, class Start>
result<T> run_here(Start start) {
  std::optional<result<T>> value;
  asio::io_context here(1);
  start(asio::bind_executor(here.get_executor(), [&](result<T> got) { value.emplace(std::move(got)); }));
  here.run();
  return *std::move(value);
}

}  // namespace

result<response> client::send(const context& ctx, request what) {
  if (has_source(what)) {
    return run_here<response>([&](auto handler) { async_send(ctx, std::move(what), std::move(handler)); });
  }
  const auto state = impl_->state;
  return wait_for<result<response>>(*state, &what, [&](auto in, auto complete) {
    client_call::start(state, std::move(in), ctx, std::move(what), {},
                       response_completion(std::move(complete)));
  });
}

result<download> client::open(const context& ctx, request what) {
  if (has_source(what)) {
    return run_here<download>([&](auto handler) { async_open(ctx, std::move(what), std::move(handler)); });
  }
  const auto state = impl_->state;
  return wait_for<result<download>>(*state, &what, [&](auto in, auto complete) {
    client_call::start(state, std::move(in), ctx, std::move(what), {},
                       download_completion(std::move(complete)));
  });
}

void client::start(context ctx, request what, completion<response> complete,
                   const asio::any_io_executor& runs_source) {
  if (auto in = loop_of(*complete, &what)) {
    client_call::start(impl_->state, std::move(in), std::move(ctx), std::move(what), runs_source,
                       response_completion(std::move(complete)));
  }
}

void client::start(context ctx, request what, completion<download> complete,
                   const asio::any_io_executor& runs_source) {
  if (auto in = loop_of(*complete, &what)) {
    client_call::start(impl_->state, std::move(in), std::move(ctx), std::move(what), runs_source,
                       download_completion(std::move(complete)));
  }
}

client& client::shared() {
  // Never destroyed, since threads and static objects may outlive main; at exit its calls end, and later ones are
  // answered with errc::canceled.
  static client* const made = new client;
  struct closer {
    closer() = default;
    closer(const closer&) = delete;
    closer& operator=(const closer&) = delete;
    ~closer() { made->impl_->state->close(); }
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

const response& download::head() const noexcept { return transfer_->head(); }

result<std::optional<std::string>> download::read(const context& ctx) {
  return wait_for<piece>(*transfer_->client, nullptr, [&](auto in, auto complete) {
    transfer_->start_read(ctx, std::move(in), std::move(complete));
  });
}

void download::start_read(context ctx, read_completion complete) {
  if (auto in = loop_of(*complete, nullptr))
    transfer_->start_read(std::move(ctx), std::move(in), std::move(complete));
}

}  // namespace curfew::http
