#include "console/looker.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <curfew/http/message.hpp>
#include <exception>
#include <utility>

#include "console/choice.hpp"
#include "console/describe.hpp"
#include "console/dump.hpp"

namespace curfew::inspect {

namespace {

/// A failure to look, by want of memory or by a value that cannot be printed, costs that look alone.
template <class F>
void try_to(F f) noexcept {
  try {
    f();
  } catch (const std::exception& thrown) {
    write_error(thrown.what());
  }
}

timespec until(clock::time_point due, clock::time_point now) {
  const auto left = std::max<std::chrono::nanoseconds>(due - now, std::chrono::nanoseconds(0));
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(left);
  return {.tv_sec = whole.count(), .tv_nsec = (left - whole).count()};
}

}  // namespace

looker::looker(int dump_signal) : dump_signal_(dump_signal), thread_([this] { run(); }) {}

looker::~looker() {
  stopping_ = true;
  wake_.notify();
  thread_.join();
}

std::shared_ptr<const looker::frame> looker::newest() const {
  const std::lock_guard guard(mutex_);
  return newest_;
}

void looker::run() noexcept {
  std::array<pollfd, 2> sources{{{wake_.get(), POLLIN, 0}, {dump_signal_, POLLIN, 0}}};
  auto next_sample = clock::now();
  auto next_frame = next_sample;
  while (!stopping_) {
    const auto before = clock::now();
    if (before >= next_sample) {
      try_to([this] { take_sample(); });
      next_sample = std::max(next_sample + sampling, before);
    }
    const bool watched = viewers_.load() != 0;
    if (watched && before >= next_frame) {
      const auto begun = clock::now();
      try_to([this] { make_frame(); });
      const auto cost = clock::now() - begun;
      next_frame = begun + std::max<clock::duration>(least_distance, 10 * cost);
    }
    const timespec left = until(watched ? std::min(next_sample, next_frame) : next_sample, clock::now());
    if (::ppoll(sources.data(), sources.size(), &left, nullptr) <= 0) continue;
    if (sources[0].revents != 0) wake_.clear();
    if (sources[1].revents != 0) {
      wake_descriptor::clear(dump_signal_);
      try_to([] { dump_tasks(); });
    }
  }
}

void looker::take_sample() {
  const sample now{clock::now(), count()};
  const std::lock_guard guard(mutex_);
  samples_.push_back(now);
  if (samples_.size() > samples) samples_.pop_front();
}

std::string make_look() {
  choice urgent;
  urgent.limit = looker::tasks_shown;
  const auto now = clock::now();
  const chosen all = choose(urgent);
  std::string text;
  json_writer to(text);
  to.begin_object();
  to.key("now_ns").point(now);
  to.key("totals").begin_object();
  write_brief(to, count());
  to.end_object();
  to.key("tasks").begin_array();
  for (const auto& task : all.tasks) write(to, task);
  to.end_array();
  to.key("others").number(all.matching - all.tasks.size());
  to.end_object();
  return text;
}

void looker::make_frame() {
  auto made = std::make_shared<const frame>(frame{http::event(make_look(), "look"), ++frames_});
  const std::lock_guard guard(mutex_);
  newest_.swap(made);
}

void looker::write_history(json_writer& to) const {
  std::vector<sample> copy;
  {
    const std::lock_guard guard(mutex_);
    copy.assign(samples_.begin(), samples_.end());
  }
  to.begin_array();
  for (const auto& [at, all] : copy) {
    to.begin_object();
    to.key("at_ns").point(at);
    write_brief(to, all);
    to.end_object();
  }
  to.end_array();
}

}  // namespace curfew::inspect
