#include "http/wire/loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <boost/asio/execution_context.hpp>
#include <boost/system/error_code.hpp>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <tuple>

namespace curfew::http {

namespace asio = boost::asio;

namespace {

thread_local const loop* runs_here = nullptr;  // the loop that this thread works for

/// While it lives, this thread works for that loop.
class working {
 public:
  explicit working(const loop& of) noexcept : before_(std::exchange(runs_here, &of)) {}
  working(const working&) = delete;
  working& operator=(const working&) = delete;
  ~working() { runs_here = before_; }

 private:
  const loop* before_;
};

descriptor opened(int made, const char* by) {
  if (made < 0) throw std::system_error(errno, std::generic_category(), by);
  return descriptor(made);
}

}  // namespace

class loop::service final : public asio::execution_context::service {
 public:
  inline static asio::execution_context::id id;

  explicit service(asio::execution_context& owner)
      : asio::execution_context::service(owner),
        of_clients(std::make_shared<loop>(owner, std::chrono::milliseconds(250))) {}

  const std::shared_ptr<loop> of_clients;

 private:
  void shutdown() noexcept override { of_clients->close(); }
};

std::shared_ptr<loop> loop::of(asio::execution_context& context) {
  return asio::use_service<service>(context).of_clients;
}

loop::loop(clock::duration tick)
    : set_(opened(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      timer_(opened(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")),
      bell_fd_(opened(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      tick_time_(tick),
      now_(clock::now()),
      scratch_(new char[scratch_size]) {
  if (!watch(timer_.get(), EPOLLIN | EPOLLET, ticker_) || !watch(bell_fd_.get(), EPOLLIN | EPOLLET, bell_))
    opened(-1, "epoll_ctl");
}

loop::loop() : loop(clock::duration()) {}

loop::loop(asio::execution_context& context, clock::duration tick) : loop(tick) {
  asio_.emplace(inline_executor(context), set_.get());
}

loop::~loop() { close(); }

/// The context is being destroyed, or nothing needs the loop any more.
void loop::close() noexcept {
  std::shared_ptr<job> let_go;
  {
    const std::lock_guard guard(mutex_);
    closed_ = true;
    let_go.swap(first_job_);
    last_job_ = nullptr;
    if (asio_) asio_->release();
    asio_.reset();
  }
  let_go_of(std::move(let_go));
  bury();
}

/// Without recursion.
void loop::let_go_of(std::shared_ptr<job> first) noexcept {
  while (first) first = std::move(first->next_job_);
}

void loop::hold() {
  const std::lock_guard guard(mutex_);
  ++holds_;
  if (state_ == at::rest && asio_) wait_for_events();
}

void loop::release() noexcept {
  std::shared_ptr<job> let_go;
  {
    const std::lock_guard guard(mutex_);
    if (--holds_ != 0) return;
    let_go.swap(first_job_);
    last_job_ = nullptr;
    boost::system::error_code unused;
    if (state_ == at::waiting && asio_) asio_->cancel(unused);
  }
  let_go_of(std::move(let_go));
}

bool loop::watch(int descriptor, std::uint32_t events, watched& by) noexcept {
  epoll_event e{};
  e.events = events;
  e.data.ptr = &by;
  return ::epoll_ctl(set_.get(), EPOLL_CTL_ADD, descriptor, &e) == 0;
}

void loop::change(int descriptor, std::uint32_t events, watched& by) noexcept {
  epoll_event e{};
  e.events = events;
  e.data.ptr = &by;
  ::epoll_ctl(set_.get(), EPOLL_CTL_MOD, descriptor, &e);
}

void loop::unwatch(int descriptor) noexcept {
  epoll_event unused{};
  ::epoll_ctl(set_.get(), EPOLL_CTL_DEL, descriptor, &unused);
}

void loop::retire(std::shared_ptr<watched> one) noexcept {
  const std::lock_guard guard(mutex_);  // released before `one` is, if that stays
  if (state_ != at::work && state_ != at::sleep)
    return;  // no event has been fetched that is still to be handled
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

void loop::later(std::shared_ptr<job> what) noexcept {
  const std::lock_guard guard(mutex_);  // released before `what` is, if it does not stay
  if (closed_ || what->next_job_ || what.get() == last_job_) return;
  job* const last = what.get();
  const bool first = last_job_ == nullptr;
  (first ? first_job_ : last_job_->next_job_) = std::move(what);
  last_job_ = last;
  if (first && state_ != at::work) ::eventfd_write(bell_fd_.get(), 1);
}

void loop::wake() noexcept { ::eventfd_write(bell_fd_.get(), 1); }

bool loop::is_here() const noexcept { return runs_here == this; }

void loop::wait_for_events() {
  state_ = at::waiting;
  asio_->async_wait(asio::posix::descriptor_base::wait_read,
                    [this](const boost::system::error_code& /*let go: nothing holds it*/) { handle(); });
}

void loop::handle() {
  {
    const std::lock_guard guard(mutex_);
    const bool work = holds_ != 0 && !closed_;
    state_ = work ? at::work : at::rest;
    if (!work) return;
  }
  if (const auto me = std::this_thread::get_id(); thread_ != me) {
    if (thread_ != std::thread::id()) shared_.store(true, std::memory_order_relaxed);
    thread_ = me;
  }
  const working here(*this);
  // Waits again, also where something has thrown: then what is left is run in the next round.
  struct again {
    loop& of;
    explicit again(loop& l) : of(l) {}
    again(const again&) = delete;
    again& operator=(const again&) = delete;
    ~again() {
      const std::lock_guard guard(of.mutex_);
      of.state_ = at::rest;
      if (of.last_job_ != nullptr) of.wake();
      if (of.holds_ != 0 && of.asio_) of.wait_for_events();
    }
  } const waits_again(*this);
  poll(0);
  run_jobs();
}

void loop::run_once() {
  {
    const std::lock_guard guard(mutex_);
    state_ = first_job_ ? at::work : at::sleep;
  }
  const working here(*this);
  poll(state_ == at::sleep ? -1 : 0);
  run_jobs();
  {
    const std::lock_guard guard(mutex_);
    state_ = at::rest;
  }
  bury();  // what a job has retired may hold the loop
}

void loop::poll(int wait_ms) {
  constexpr int rounds = 8;  // then the other work of the context has its turn
  std::array<epoll_event, 256> events;
  for (int round = 0; round < rounds; ++round) {
    const int count = ::epoll_wait(set_.get(), events.data(), static_cast<int>(events.size()), wait_ms);
    if (std::exchange(wait_ms, 0) != 0) {
      const std::lock_guard guard(mutex_);
      state_ = at::work;
    }
    if (count <= 0) break;
    now_ = clock::now();
    for (int i = 0; i < count; ++i) {
      const epoll_event& e = events[static_cast<std::size_t>(i)];
      static_cast<watched*>(e.data.ptr)->on_event(e.events);
    }
    bury();
    if (count < static_cast<int>(events.size())) break;
  }
}

/// Runs the jobs that there are now; those that they add wait for the next round, with the events of others.
void loop::run_jobs() {
  const job* last = nullptr;
  for (bool more = true; more;) {
    std::shared_ptr<job> now;
    {
      const std::lock_guard guard(mutex_);
      if (last == nullptr) last = last_job_;
      if (!first_job_) return;
      now = std::move(first_job_);
      first_job_ = std::move(now->next_job_);
      if (!first_job_) last_job_ = nullptr;
    }
    more = now.get() != last;
    now->run();
  }
}

void loop::each_tick(std::function<bool(clock::time_point)> f) {
  at_tick_.push_back(std::move(f));
  if (!std::exchange(ticking_, true)) set_timer(tick_time_);
}

void loop::set_timer(clock::duration every) const noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(every);
  itimerspec when{};
  when.it_interval.tv_sec = seconds.count();
  when.it_interval.tv_nsec = std::chrono::nanoseconds(every - seconds).count();
  when.it_value = when.it_interval;
  ::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

void loop::tick() {
  std::uint64_t times = 0;
  std::ignore = ::read(timer_.get(), &times, sizeof times);
  auto calls = std::exchange(at_tick_, {});
  for (auto& f : calls) {
    if (f(now_)) at_tick_.push_back(std::move(f));
  }
  if (!at_tick_.empty()) return;
  ticking_ = false;
  set_timer({});
}

}  // namespace curfew::http
