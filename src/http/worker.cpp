#include "http/worker.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <curfew/http/errc.hpp>
#include <new>
#include <system_error>
#include <utility>

#include "http/connection.hpp"
#include "http/server_state.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

int make_epoll() {
  const int made = ::epoll_create1(EPOLL_CLOEXEC);
  if (made < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  return made;
}

/// Timeouts come late by a tick at most: a fourth of the shortest.
clock::duration tick_for(const server_settings& s) {
  const auto shortest = std::min({s.header_timeout, s.body_timeout, s.idle_timeout});
  return std::clamp<clock::duration>(shortest / 4, std::chrono::milliseconds(5),
                                     std::chrono::milliseconds(250));
}

}  // namespace

worker::worker(server_state& server)
    : client_gone(errc::client_gone),
      handler_done(errc::handler_done),
      server_(server),
      guard_(io_.get_executor()),
      epoll_(io_, make_epoll()),
      ticker_(io_),
      tick_time_(tick_for(server.settings)),
      now_(clock::now()),
      scratch_(new char[scratch_size]) {}

worker::~worker() = default;

void worker::start() {
  wait_for_events();
  thread_ = std::thread([this] { io_.run(); });
}

void worker::stop() {
  asio::post(io_, [this] {
    stopped_ = true;
    at_tick_.clear();
    ticker_.cancel();
    epoll_.close();
    guard_.reset();
  });
}

void worker::join() {
  if (thread_.joinable()) thread_.join();
}

void worker::adopt(int socket, std::string remote) {
  asio::dispatch(io_, [this, socket, remote = std::move(remote)]() mutable {
    std::shared_ptr<connection> made;
    try {
      made = std::make_shared<connection>(*this, socket, std::move(remote));
    } catch (const std::bad_alloc&) {
      ::close(socket);
      server_.closed();
      return;
    }
    {
      const std::lock_guard guard(mutex_);
      connection::link(first_, *made);
    }
    arm_tick();
    connection::start(std::move(made));
    runs(nullptr);
  });
}

void worker::remove(std::shared_ptr<connection> c) noexcept {
  {
    const std::lock_guard guard(mutex_);
    connection::unlink(first_, *c);
  }
  if (dispatching_) graveyard_.push_back(std::move(c));
  c.reset();
  server_.closed();
}

void worker::begin_shutdown() {
  asio::post(io_, [this] {
    dispatching_ = true;
    connection::for_each(first_, [](connection& c) { c.close_if_idle(); });
    dispatching_ = false;
    graveyard_.clear();
  });
}

void worker::end_waiting() {
  asio::post(io_, [this] {
    dispatching_ = true;
    connection::for_each(first_, [](connection& c) { c.give_up(); });
    dispatching_ = false;
    graveyard_.clear();
  });
}

std::vector<canceler> worker::cancelers() {
  const std::lock_guard guard(mutex_);
  std::vector<canceler> all;
  connection::for_each(first_, [&](connection& c) { c.collect(all); });
  return all;
}

std::vector<std::string> worker::running() {
  const auto now = clock::now();
  const std::lock_guard guard(mutex_);
  std::vector<std::string> all;
  connection::for_each(first_, [&](connection& c) { c.describe(all, now); });
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
  const connection* running = runs_.load(std::memory_order_relaxed);
  std::vector<std::string> names;
  std::size_t more = 0;
  for (connection* c = first_; c != nullptr; c = connection::next(*c)) {
    const std::string name = c->route_name();
    if (name.empty()) continue;
    if (c == running) return name;
    if (std::ranges::find(names, name) != names.end()) continue;
    if (names.size() < most) {
      names.push_back(name);
    } else {
      ++more;
    }
  }
  if (names.empty()) return {};
  std::string all = names.size() == 1 ? "" : "one of ";
  for (std::size_t i = 0; i < names.size(); ++i) all += (i == 0 ? "" : ", ") + names[i];
  if (more != 0) all += " and " + std::to_string(more) + " more requests";
  return all;
}

bool worker::watch(int descriptor, std::uint32_t events, watched& by) noexcept {
  epoll_event e{};
  e.events = events;
  e.data.ptr = &by;
  return ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, descriptor, &e) == 0;
}

void worker::change(int descriptor, std::uint32_t events, watched& by) noexcept {
  epoll_event e{};
  e.events = events;
  e.data.ptr = &by;
  ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_MOD, descriptor, &e);
}

void worker::unwatch(int descriptor) noexcept {
  epoll_event unused{};
  ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, descriptor, &unused);
}

void worker::wait_for_events() {
  epoll_.async_wait(asio::posix::stream_descriptor::wait_read,
                    [this](const boost::system::error_code& failed) {
                      if (failed || stopped_) return;
                      poll();
                      wait_for_events();
                    });
}

void worker::poll() {
  constexpr int rounds = 8;  // then the other work of the loop has its turn
  std::array<epoll_event, 256> events;
  for (int round = 0; round < rounds; ++round) {
    const int count = ::epoll_wait(epoll_.native_handle(), events.data(), static_cast<int>(events.size()), 0);
    if (count <= 0) return;
    now_ = clock::now();
    dispatching_ = true;
    for (int i = 0; i < count; ++i) {
      const epoll_event& e = events[static_cast<std::size_t>(i)];
      static_cast<watched*>(e.data.ptr)->on_event(e.events);
      runs(nullptr);
    }
    dispatching_ = false;
    graveyard_.clear();
    if (count < static_cast<int>(events.size())) return;
  }
}

void worker::each_tick(std::function<bool(clock::time_point)> f) {
  at_tick_.push_back(std::move(f));
  arm_tick();
}

void worker::arm_tick() {
  if (ticking_ || stopped_) return;
  ticking_ = true;
  ticker_.expires_after(tick_time_);
  ticker_.async_wait([this](const boost::system::error_code& /*canceled: stopped_ says so*/) {
    ticking_ = false;
    if (!stopped_) tick();
  });
}

void worker::tick() {
  now_ = clock::now();
  dispatching_ = true;
  connection::for_each(first_, [this](connection& c) { c.on_tick(now_); });
  runs(nullptr);
  dispatching_ = false;
  graveyard_.clear();
  auto calls = std::exchange(at_tick_, {});
  for (auto& f : calls) {
    if (f(now_)) at_tick_.push_back(std::move(f));
  }
  if (first_ != nullptr || !at_tick_.empty()) arm_tick();
}

std::string_view worker::date() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &t);
  if (t.tv_sec != date_of_) {
    date_of_ = t.tv_sec;
    constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm utc{};
    ::gmtime_r(&date_of_, &utc);
    std::array<char, 64> line{};
    const int length =
        std::snprintf(line.data(), line.size(), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                      days[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                      months[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour,
                      utc.tm_min, utc.tm_sec);
    date_.assign(line.data(), static_cast<std::size_t>(std::max(length, 0)));
  }
  return date_;
}

}  // namespace curfew::http
