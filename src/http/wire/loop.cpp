#include "http/wire/loop.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <boost/system/error_code.hpp>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <tuple>

namespace curfew::http {

namespace asio = boost::asio;

namespace {

int opened(int made, const char* by) {
  if (made < 0) throw std::system_error(errno, std::generic_category(), by);
  return made;
}

}  // namespace

loop::loop(asio::execution_context& context, clock::duration tick)
    : epoll_(inline_executor(context), opened(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      timer_(inline_executor(context),
             opened(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")),
      tick_time_(tick),
      now_(clock::now()),
      scratch_(new char[scratch_size]) {
  if (!watch(timer_.native_handle(), EPOLLIN | EPOLLET, ticker_)) opened(-1, "epoll_ctl");
}

loop::~loop() { bury(); }

void loop::start() {
  const std::lock_guard guard(mutex_);
  started_ = true;
  if (state_ == at::rest) wait_for_events();
}

void loop::pause() noexcept {
  const std::lock_guard guard(mutex_);
  started_ = false;
  boost::system::error_code unused;
  if (state_ == at::waiting) epoll_.cancel(unused);
}

bool loop::watch(int descriptor, std::uint32_t events, watched& by) noexcept {
  epoll_event e{};
  e.events = events;
  e.data.ptr = &by;
  return ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, descriptor, &e) == 0;
}

void loop::change(int descriptor, std::uint32_t events, watched& by) noexcept {
  epoll_event e{};
  e.events = events;
  e.data.ptr = &by;
  ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_MOD, descriptor, &e);
}

void loop::unwatch(int descriptor) noexcept {
  epoll_event unused{};
  ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, descriptor, &unused);
}

void loop::retire(std::shared_ptr<watched> one) noexcept {
  const std::lock_guard guard(mutex_);  // released before `one` is, if that stays
  if (state_ != at::work) return;       // no event has been fetched that is still to be handled
  one->next_retired_ = std::move(retired_);
  retired_ = std::move(one);
}

/// Lets go of what has retired: all events that could name it have been handled.
void loop::bury() noexcept {
  std::shared_ptr<watched> first;
  {
    const std::lock_guard guard(mutex_);
    first.swap(retired_);
  }
  while (first) first = std::move(first->next_retired_);
}

void loop::wait_for_events() {
  state_ = at::waiting;
  epoll_.async_wait(asio::posix::descriptor_base::wait_read,
                    [this](const boost::system::error_code& /*paused*/) {
                      bool work = false;
                      {
                        const std::lock_guard guard(mutex_);
                        work = started_;
                        state_ = work ? at::work : at::rest;
                      }
                      if (!work) return;
                      poll();
                      const std::lock_guard guard(mutex_);
                      state_ = at::rest;
                      if (started_) wait_for_events();
                    });
}

void loop::poll() {
  constexpr int rounds = 8;  // then the other work of the context has its turn
  std::array<epoll_event, 256> events;
  for (int round = 0; round < rounds; ++round) {
    const int count = ::epoll_wait(epoll_.native_handle(), events.data(), static_cast<int>(events.size()), 0);
    if (count <= 0) return;
    now_ = clock::now();
    for (int i = 0; i < count; ++i) {
      const epoll_event& e = events[static_cast<std::size_t>(i)];
      static_cast<watched*>(e.data.ptr)->on_event(e.events);
    }
    bury();
    if (count < static_cast<int>(events.size())) return;
  }
}

void loop::each_tick(std::function<bool(clock::time_point)> f) {
  at_tick_.push_back(std::move(f));
  if (!std::exchange(ticking_, true)) set_timer(tick_time_);
}

void loop::set_timer(clock::duration every) noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(every);
  itimerspec when{};
  when.it_interval.tv_sec = seconds.count();
  when.it_interval.tv_nsec = std::chrono::nanoseconds(every - seconds).count();
  when.it_value = when.it_interval;
  ::timerfd_settime(timer_.native_handle(), 0, &when, nullptr);
}

void loop::tick() {
  std::uint64_t times = 0;
  std::ignore = ::read(timer_.native_handle(), &times, sizeof times);
  auto calls = std::exchange(at_tick_, {});
  for (auto& f : calls) {
    if (f(now_)) at_tick_.push_back(std::move(f));
  }
  if (!at_tick_.empty()) return;
  ticking_ = false;
  set_timer({});
}

}  // namespace curfew::http
