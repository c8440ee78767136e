#include "sql/postgres/janitor.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "sql/postgres/drive.hpp"

namespace curfew::sql::postgres {

namespace {

using namespace std::chrono_literals;

constexpr clock::duration first_pause = 5ms;
constexpr clock::duration longest_pause = 500ms;
/// A server looks each second whether its client is there.
constexpr clock::duration noticed_after = 1500ms;

constexpr std::string_view rolling_back = "rollback";
constexpr std::string_view query_canceled = "57014";
const parameters nothing;

/// Signals are for the program's own threads.
void begin_thread(const char* name) noexcept {
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  ::prctl(PR_SET_NAME, name);
}

int milliseconds_until(clock::time_point at) noexcept {
  if (at == clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(at - clock::now());
  return static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(left.count(), 0, 60'000));
}

}  // namespace

verdict::verdict(context ctx) : ctx_(std::move(ctx)), known_(with_cancel(background())) {}

void verdict::say(result<rows> what, std::string_view tag, std::vector<rows> of_batch) {
  batch_ = std::move(of_batch);
  said_ = std::move(what);
  tag_ = tag;
  known_.cancel();
}

/// A cancel, which its patient and its thread know of.
struct janitor::request {
  std::atomic<bool> is_over{false};
  bool is_given_up = false;  // guarded by mutex_
};

struct janitor::patient {
  patient(lease of, std::shared_ptr<verdict> w, clock::time_point u)
      : used(std::move(of)),
        waits(std::move(w)),
        until(u) {}

  lease used;
  std::shared_ptr<verdict> waits;
  clock::time_point until;        // the end of the grace; of one that was closed: of its place
  clock::time_point next_cancel;  // when one is due
  clock::duration pause = first_pause;
  std::shared_ptr<request> cancel;  // null: none is under way
  wants what = wants::nothing;
  bool was_canceled = false;
  bool rolls_back = false;
  bool is_closed = false;

  patient(const patient&) = delete;
  patient& operator=(const patient&) = delete;
  ~patient() {
    if (is_closed) used.discard();
  }

  [[nodiscard]] connection& on() noexcept { return **used; }
};

janitor::janitor(clock::duration grace) : grace_(grace) {}
janitor::~janitor() = default;

void janitor::take(lease used, std::shared_ptr<verdict> waits) noexcept {
  (*used)->abandon();
  std::list<patient> one;
  one.emplace_back(std::move(used), std::move(waits), clock::now() + grace_);
  std::unique_lock lock(mutex_);
  if (!runs_) {
    try {
      std::thread([self = shared_from_this()] { self->run(); }).detach();
    } catch (const std::system_error&) {  // there are no threads: the server sees that this side is gone
      lock.unlock();
      condemn(one.front(), clock::now());
      return;
    }
    runs_ = true;
  }
  inbox_.splice(inbox_.end(), one);
  waker_.set();
}

void janitor::close() noexcept {
  std::unique_lock lock(mutex_);
  is_closing_ = true;
  waker_.set();
  emptied_.wait_for(lock, grace_, [this] { return !runs_; });
}

void janitor::run() noexcept {
  begin_thread("curfew janitor");
  std::list<patient> all;
  for (;;) {
    {
      const std::lock_guard guard(mutex_);
      // No call waits for a place any more.
      if (is_closing_) all.remove_if([](const patient& each) { return each.is_closed; });
      all.splice(all.end(), inbox_);
      if (all.empty()) {
        runs_ = false;
        emptied_.notify_all();
        return;
      }
    }
    const auto now = clock::now();
    auto next = clock::time_point::max();
    for (auto it = all.begin(); it != all.end();) {
      if (!attend(*it, now)) {
        it = all.erase(it);
        continue;
      }
      next = std::min({next, it->until, it->next_cancel});
      ++it;
    }
    if (!all.empty()) wait(all, next);
  }
}

bool janitor::attend(patient& each, clock::time_point now) {
  if (each.is_closed) return now < each.until;
  if (each.cancel && each.cancel->is_over.load()) {
    each.cancel.reset();
    each.next_cancel = now + each.pause;  // one that came before its statement was discarded
    each.pause = std::min(2 * each.pause, longest_pause);
  }
  connection& on = each.on();
  each.what = on.step(true);
  if (each.what == wants::nothing) {
    tell(each);
    each.next_cancel = clock::time_point::max();
    if (on.is_broken()) {
      give_up(each);
      each.used.discard();
      return false;
    }
    if (!each.cancel) {
      if (!on.in_transaction()) return false;  // clean: it goes back
      if (std::exchange(each.rolls_back, true) || !on.start(rolling_back, nothing, connection::how::plain)) {
        condemn(each, now);
        return true;
      }
      return attend(each, now);
    }
  } else if (!each.rolls_back && !each.cancel && now >= each.next_cancel) {
    send_cancel(each, now);
  }
  if (now >= each.until) condemn(each, now);
  return true;
}

void janitor::tell(patient& each) {
  if (!each.waits) return;
  connection& on = each.on();
  const context& ctx = each.waits->ctx();
  const std::string doing = on.doing();
  auto said = on.take();
  const bool was_ended = !said && each.was_canceled && said.error().sqlstate() == query_canceled;
  if (!on.was_sent() || was_ended) {
    said = cut_off(ctx, doing);
  } else if (!said && said.error() == errc::connection_lost) {
    said = said.error().with(outcome::unknown);
  }
  std::exchange(each.waits, nullptr)->say(std::move(said), on.tag(), on.take_batch());
}

void janitor::condemn(patient& each, clock::time_point now) {
  if (each.waits) {
    const error unknown = cut_off(each.waits->ctx(), each.on().doing()).with(outcome::unknown);
    std::exchange(each.waits, nullptr)->say(unknown, {}, {});
  }
  give_up(each);
  each.used->reset();
  each.is_closed = true;
  each.until = now + noticed_after;
  each.next_cancel = clock::time_point::max();
}

void janitor::send_cancel(patient& each, clock::time_point now) noexcept {
  each.next_cancel = now + first_pause;  // where it cannot be sent now
  const std::lock_guard guard(mutex_);
  if (cancels_ == most_cancels || cancels_ + given_up_ >= most_given_up) return;
  try {
    auto made = std::make_shared<request>();
    std::thread([self = shared_from_this(), made, send = each.on().canceler()] {
      self->cancel(send, *made);
    }).detach();
    each.cancel = std::move(made);
    each.was_canceled = true;
    each.next_cancel = clock::time_point::max();
    ++cancels_;
  } catch (const std::exception&) {
    return;  // there are no threads: soon again
  }
}

void janitor::cancel(const std::function<void()>& send, request& sent) noexcept {
  begin_thread("curfew cancel");
  send();
  {
    const std::lock_guard guard(mutex_);
    --(sent.is_given_up ? given_up_ : cancels_);
    sent.is_over.store(true);
  }
  waker_.set();
}

void janitor::give_up(patient& each) noexcept {
  if (!each.cancel) return;
  const std::lock_guard guard(mutex_);
  if (each.cancel->is_over) return;
  each.cancel->is_given_up = true;
  --cancels_;
  ++given_up_;
}

void janitor::wait(std::list<patient>& all, clock::time_point until) const noexcept {
  std::vector<pollfd> fds;
  fds.push_back({waker_.fd(), POLLIN, 0});
  for (patient& each : all) {
    const bool is_read = !each.is_closed && each.what != wants::nothing;
    const short events = each.what == wants::write ? POLLIN | POLLOUT : POLLIN;
    if (is_read) fds.push_back({each.on().socket(), events, 0});
  }
  std::ignore = ::poll(fds.data(), fds.size(), milliseconds_until(until));
  if (fds.front().revents != 0) waker_.clear();
}

}  // namespace curfew::sql::postgres
