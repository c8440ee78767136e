#include <algorithm>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdio>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/done.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/server.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/extend.hpp>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "http/server/acceptor.hpp"
#include "http/server/connection.hpp"
#include "http/server/loop_watch.hpp"
#include "http/server/server_state.hpp"
#include "http/server/worker.hpp"
#include "http/wire/addable.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::seconds time_to_come_home{1};

void write_to_stderr(std::string_view line) {
  std::fprintf(stderr, "curfew: %.*s\n", static_cast<int>(line.size()), line.data());
}

error second_time() {
  return error(std::make_error_code(std::errc::operation_not_permitted), "serving: a server serves once");
}

}  // namespace

server_options with_defaults(server_options options) {
  if (options.threads() == 0) options.threads(std::max(1U, std::thread::hardware_concurrency()));
  if (!options.on_error()) options.on_error(write_to_stderr);
  if (!options.on_held_thread()) options.on_held_thread(write_to_stderr);
  options.handshake_timeout(addable(options.handshake_timeout()))
      .header_timeout(addable(options.header_timeout()))
      .body_timeout(addable(options.body_timeout()))
      .idle_timeout(addable(options.idle_timeout()));
  return options;
}

struct server::impl {
  impl(router routes, const server_options& options) : state(std::move(routes), options), door(state) {}
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
  ~impl() {
    {
      const std::lock_guard guard(mutex);
      destroyed = true;
      if (serving) serving->cancel();
    }
    {
      const std::lock_guard guard(state.mutex);
      hurry = true;
      state.changed.notify_all();
    }
    if (background_serve.joinable()) background_serve.join();
    for (auto& w : workers) w->end_waiting();
    std::unique_lock lock(state.mutex);
    state.changed.wait(lock, [this] { return state.open.load() == 0; });
    lock.unlock();
    for (auto& w : workers) w->stop();
    for (auto& w : workers) w->join();
  }

  result<> listen() {
    const std::lock_guard guard(mutex);
    if (door.is_open()) return {};
    auto trusted = trusted_networks::parse(state.settings.trusted_peers());
    if (!trusted) return trusted.error();
    state.trusted = std::move(*trusted);
    return door.open(state.settings.listeners());
  }

  result<shutdown_report> serve(const context& ctx);

  /// \param patient  Even if the server is being destroyed.
  /// \return whether all exchanges are over by then.
  bool wait_until_home(clock::duration at_most, bool patient) {
    std::unique_lock lock(state.mutex);
    state.changed.wait_for(lock, at_most, [&] { return (hurry && !patient) || state.is_home(); });
    return state.is_home();
  }

  std::size_t finished() {
    std::size_t sum = 0;
    for (auto& w : workers) sum += w->finished();
    return sum;
  }

  server_state state;
  acceptor door;
  std::vector<std::unique_ptr<worker>> workers;
  bool hurry = false;  // the server is being destroyed: no grace. Under state.mutex

  std::mutex mutex;              // for what is below, and for listening
  std::thread background_serve;  // of async_serve
  bool served = false;
  bool destroyed = false;
  std::optional<canceler> serving;
};

result<shutdown_report> server::impl::serve(const context& ctx) {
  if (auto up = listen(); !up) return std::unexpected(up.error());
  const cancel_scope until = with_cancel(ctx);
  {
    const std::lock_guard guard(mutex);
    if (served || destroyed) {
      return std::unexpected(second_time());
    }
    served = true;
    serving = until.canceler();
  }
  state.base = without_cancel(ctx);
  std::optional<loop_watch> watch;
  try {
    for (unsigned i = 0; i < state.settings.threads(); ++i)
      workers.push_back(std::make_unique<worker>(state));
    for (auto& w : workers) w->start();
    watch.emplace(state, workers);
  } catch (const std::system_error& e) {
    door.stop();
    return std::unexpected(error(e.code(), "starting the server's threads"));
  }
  door.start(workers);

  until.done().wait();

  shutdown_report report;
  {
    const std::lock_guard guard(mutex);
    serving.reset();
  }
  state.stopping.store(true);
  door.stop();
  for (auto& w : workers) w->begin_shutdown();
  const bool home = wait_until_home(state.settings.grace(), false);
  report.finished = finished();
  if (!home) {
    state.ending.store(true);
    const cause why(errc::shutdown);
    for (auto& w : workers) {
      for (const auto& request : w->cancelers()) request.cancel(why);
      w->end_waiting();
    }
    wait_until_home(time_to_come_home, true);
    for (auto& w : workers) {
      auto still = w->running();
      report.stuck.insert(report.stuck.end(), std::make_move_iterator(still.begin()),
                          std::make_move_iterator(still.end()));
    }
    report.ended = finished() - report.finished;
  }
  return report;
}

server::server(router routes, const server_options& options)
    : impl_(std::make_unique<impl>(std::move(routes), options)) {}

server::~server() = default;

result<> server::listen() { return impl_->listen(); }

std::uint16_t server::port() const noexcept { return impl_->door.port(); }

std::string server::url() const { return impl_->door.url(); }

std::vector<std::string> server::addresses() const { return impl_->door.addresses(); }

result<shutdown_report> server::serve(const context& ctx) { return impl_->serve(ctx); }

asio::awaitable<result<shutdown_report>> server::async_serve(context ctx) {
  // A thread that sleeps until the end does the waiting: nothing of a server is more rarely needed.
  auto served = extend::initiate<result<shutdown_report>>(
      default_token(), [impl = impl_.get(), ctx = std::move(ctx)](auto complete) mutable {
        const std::lock_guard guard(impl->mutex);
        if (impl->background_serve.joinable()) return complete(std::unexpected(second_time()));
        impl->background_serve =
            std::thread([impl, ctx = std::move(ctx), complete = std::move(complete)]() mutable {
              complete(impl->serve(ctx));
            });
      });
  co_return co_await std::move(served);
}

}  // namespace curfew::http
