#include "http/server/worker.hpp"

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <curfew/http/errc.hpp>
#include <new>
#include <system_error>
#include <utility>

#include "http/message/http_date.hpp"
#include "http/server/connection.hpp"
#include "http/server/exchange.hpp"
#include "http/server/server_state.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

/// Timeouts come late by a tick at most: a fourth of the shortest.
clock::duration tick_for(const server_options& s) {
  const auto shortest =
      std::min({s.handshake_timeout(), s.header_timeout(), s.body_timeout(), s.idle_timeout()});
  return std::clamp<clock::duration>(shortest / 4, std::chrono::milliseconds(5),
                                     std::chrono::milliseconds(250));
}

}  // namespace

worker::worker(server_state& server)
    : client_gone(errc::client_gone),
      handler_done(errc::handler_done),
      server_(server),
      guard_(io_.get_executor()),
      loop_(io_, tick_for(server.settings)) {}

worker::~worker() = default;

void worker::start() {
  loop_.hold();
  thread_ = std::thread([this] { io_.run(); });
}

void worker::stop() {
  asio::post(io_, [this] {
    loop_.release();
    guard_.reset();
  });
}

void worker::join() {
  if (thread_.joinable()) thread_.join();
}

void worker::adopt(int socket, peer from) {
  asio::dispatch(io_, [this, socket, from = std::move(from)]() mutable {
    std::shared_ptr<connection> made;
    try {
      made = std::make_shared<connection>(*this, socket, std::move(from));
    } catch (const std::bad_alloc&) {
      ::close(socket);
      server_.closed();
      return;
    }
    connections_.push_back(*made);
    ++connection_count_;
    arm_tick();
    connection::start(std::move(made));
    runs(nullptr);
  });
}

void worker::remove(std::shared_ptr<connection> c) noexcept {
  connections_.remove(*c);
  --connection_count_;
  loop_.retire(std::move(c));
  server_.closed();
}

void worker::add(exchange& running) noexcept {
  exchanges_.push_back(running);
  requests_.store(requests_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void worker::remove(exchange& running) noexcept {
  exchanges_.remove(running);
  requests_.store(requests_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  if (server_.stopping.load(std::memory_order_relaxed)) ++finished_;
}

/// `f` may remove its connection.
template <class F>
void worker::for_each_connection(F f) {
  for (auto left = connection_count_; left != 0 && !connections_.empty(); --left) {
    connection& c = *connections_.pop_front();
    connections_.push_back(c);
    f(c);
  }
}

void worker::begin_shutdown() {
  asio::post(io_, [this] { for_each_connection([](connection& c) { c.begin_shutdown(); }); });
}

void worker::end_waiting() {
  asio::post(io_, [this] { for_each_connection([](connection& c) { c.give_up(); }); });
}

std::vector<canceler> worker::cancelers() {
  const std::lock_guard guard(mutex_);
  std::vector<canceler> all;
  exchanges_.for_each([&](const exchange& e) { all.push_back(e.canceler()); });
  return all;
}

std::vector<std::string> worker::running() {
  const auto now = clock::now();
  const std::lock_guard guard(mutex_);
  std::vector<std::string> all;
  exchanges_.for_each([&](const exchange& e) { all.push_back(e.describe(now)); });
  return all;
}

std::size_t worker::finished() {
  const std::lock_guard guard(mutex_);
  return finished_;
}

void worker::ask() {
  asio::post(io_, [this] {
    runs(nullptr);
    answered_.store(clock::now());
  });
}

std::string worker::holder() {
  constexpr std::size_t most = 3;
  const std::lock_guard guard(mutex_);
  const exchange* running = runs_.load(std::memory_order_relaxed);
  std::string certain;
  std::vector<std::string> names;
  std::size_t more = 0;
  exchanges_.for_each([&](const exchange& e) {
    std::string name = e.name();
    if (&e == running) certain = name;
    if (std::ranges::find(names, name) != names.end()) return;
    if (names.size() < most) {
      names.push_back(std::move(name));
    } else {
      ++more;
    }
  });
  if (!certain.empty()) return certain;
  if (names.empty()) return {};
  std::string all = names.size() == 1 ? "" : "one of ";
  for (std::size_t i = 0; i < names.size(); ++i) all += (i == 0 ? "" : ", ") + names[i];
  if (more != 0) all += " and " + std::to_string(more) + " more requests";
  return all;
}

void worker::arm_tick() {
  if (std::exchange(ticking_, true)) return;
  loop_.each_tick([this](clock::time_point now) {
    for_each_connection([now](connection& c) { c.on_tick(now); });
    runs(nullptr);
    ticking_ = !connections_.empty();
    return ticking_;
  });
}

std::string_view worker::date() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &t);
  if (t.tv_sec != date_of_) {
    date_of_ = t.tv_sec;
    date_ = "Date: " + to_http_date(std::chrono::sys_seconds(std::chrono::seconds(date_of_))) + "\r\n";
  }
  return date_;
}

}  // namespace curfew::http
