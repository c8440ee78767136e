#include <curfew/core/done.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <memory>
#include <system_error>
#include <utility>

#include "core/byte_lock.hpp"
#include "core/tree.hpp"

namespace curfew {

namespace detail {

namespace {

/// Owned until it is taken.
struct event_fd {
  int fd;

  event_fd() : fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd == -1)
      throw std::system_error(errno, std::generic_category(), "curfew: no descriptor for done().fd()");
  }
  event_fd(const event_fd&) = delete;
  event_fd& operator=(const event_fd&) = delete;
  ~event_fd() {
    if (fd != -1) ::close(fd);
  }
};

int descriptor_of(ender_node* n) {
  {
    const byte_lock guard(n->state);
    if (const node_extras* made = n->extras; made != nullptr && made->fd != -1) return made->fd;
  }
  event_fd spare_fd;
  auto spare = std::make_unique<node_extras>();
  int fd = -1;
  {
    const byte_lock guard(n->state);
    if (n->extras == nullptr) n->extras = spare.release();
    node_extras* extras = n->extras;
    if (extras->fd == -1) extras->fd = std::exchange(spare_fd.fd, -1);
    fd = extras->fd;
    if (code_in(guard.bits) == live) return fd;
  }
  make_readable(fd);  // the ending thread may not have come to that yet, or not have seen the descriptor
  return fd;
}

}  // namespace

node_extras::~node_extras() {
  if (fd != -1) ::close(fd);
}

void make_readable(int fd) noexcept {
  const std::uint64_t one = 1;
  // Fails only if the counter is full: then it is readable.
  [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
}

std::error_code wait_for_end(const context& ctx, const char* what) noexcept {
  if (ctx.err()) return ctx.err();
  const waiting_for told(what);
  threads::atomic<std::uint32_t> ended{0};  // 32 bits: what a futex takes
  const sleeping sleep(ctx);
  const on_done wake(ctx, [&]() noexcept {
    sleep.end();
    ended.store(1, std::memory_order_release);
    threads::wake(&ended);
  });
  sleep.begin();
  while (ended.load(std::memory_order_acquire) == 0) threads::sleep_while(ended, 0);
  return ctx.err();
}

}  // namespace detail

int done_signal::fd() const {
  if (detail::can_end(ctx_)) return detail::descriptor_of(detail::ender_of(ctx_));
  static const detail::event_fd& never = *new detail::event_fd;  // never closed
  return never.fd;
}

std::error_code done_signal::wait() const noexcept {
  return detail::wait_for_end(ctx_, "the end of a context");
}

std::error_code done_signal::wait_for(clock::duration timeout) const {
  const cancel_scope either = with_timeout(ctx_, timeout);
  either.done().wait();
  return ctx_.err();
}

std::error_code done_signal::wait_until(clock::time_point deadline) const {
  const cancel_scope either = with_deadline(ctx_, deadline);
  either.done().wait();
  return ctx_.err();
}

}  // namespace curfew
