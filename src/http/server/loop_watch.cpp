#include "http/server/loop_watch.hpp"

#include <algorithm>
#include <chrono>

#include "http/server/server_state.hpp"

namespace curfew::http {

namespace {

constexpr std::chrono::seconds between_lines{1};
constexpr int still_after = 10;  // times the limit: then the line does not wait for the end

}  // namespace

loop_watch::loop_watch(server_state& server, const std::vector<std::unique_ptr<worker>>& workers)
    : server_(server),
      limit_(server.settings.max_hold()) {
  if (limit_ == clock::duration::max()) return;
  for (const auto& w : workers) loops_.push_back({w.get(), false, false, {}, {}});
  thread_ = std::thread([this] { run(); });
}

loop_watch::~loop_watch() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard guard(server_.watch_mutex);
    stopping_ = true;
  }
  server_.watch_changed.notify_all();
  thread_.join();
}

void loop_watch::run() {
  const auto period = std::max<clock::duration>(limit_ / 2, std::chrono::milliseconds(1));
  std::unique_lock lock(server_.watch_mutex);
  while (!stopping_) {
    // Before the look at `open`: a connection that comes after it finds the flag, and wakes this thread.
    server_.watch_sleeps.store(true);
    server_.watch_changed.wait(lock, [this] { return stopping_ || server_.open.load() != 0; });
    server_.watch_sleeps.store(false);
    server_.watch_changed.wait_for(lock, period, [this] { return stopping_; });
    lock.unlock();
    for (auto& l : loops_) look(l);
    lock.lock();
  }
}

void loop_watch::look(watched_loop& at) {
  const auto now = clock::now();
  if (at.asked) {
    const auto answered = at.of->answered();
    const bool still = answered < at.since;
    const auto held = (still ? now : answered) - at.since;
    if (still && at.holder.empty()) at.holder = at.of->holder();
    if (!at.told && held > limit_ && (!still || held > limit_ * still_after)) {
      at.told = true;
      tell(at, held, still);
    }
    if (still) return;
    at.asked = at.told = false;
    at.holder.clear();
  }
  if (!at.of->has_requests()) return;
  at.since = now;
  at.asked = true;
  at.of->ask();
}

void loop_watch::tell(const watched_loop& what, clock::duration held, bool still) {
  if (what.holder.empty()) return;  // no handler: the system let the thread wait
  const auto now = clock::now();
  if (now < quiet_until_) {
    ++left_out_;
    return;
  }
  quiet_until_ = now + between_lines;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(held).count();
  std::string line = what.holder + ": the handler " + (still ? "has held" : "held") + " its thread for " +
                     std::to_string(ms) + " ms" + (still ? " so far" : "") +
                     "; the thread's other clients waited. Work that blocks belongs in http::blocking";
  if (left_out_ != 0) line += " (and " + std::to_string(left_out_) + " more since the last line)";
  left_out_ = 0;
  server_.settings.on_held_thread()(line);
}

}  // namespace curfew::http
