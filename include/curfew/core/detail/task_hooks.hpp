#pragma once

// Where tasks are reported: core and the modules above it tell what begins, goes on, waits and ends, and never know
// what listens. Without a listener each report is a load and a branch.
//
// A task_ref names a task for as long as that is open, and none after that: its record is never unmapped, and is given to
// another task with another generation. So a task_ref may stand in executors and threads, and is never counted.

#include <atomic>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <source_location>
#include <string_view>
#include <utility>

namespace curfew {

/// What a task is, as inspection shows it: "query". A constant at namespace scope; its address tells it from others.
struct task_kind {
  const char* name;

  constexpr explicit task_kind(const char* literal) noexcept : name(literal) {}
  task_kind(const task_kind&) = delete;
  task_kind& operator=(const task_kind&) = delete;
};

namespace detail {

struct task_record;

struct task_ref {
  task_record* record = nullptr;
  std::uint32_t generation = 0;

  [[nodiscard]] explicit operator bool() const noexcept { return record != nullptr; }
  friend bool operator==(const task_ref&, const task_ref&) = default;
};

/// How a task is opened.
struct task_opening {
  const task_kind* kind;
  std::string_view name;  // copied
  task_ref parent;
  std::source_location where;
};

/// The listener. It is called in the thread that does what it is told; with no lock of the library held, but for let_go.
struct task_hooks {
  task_ref (*open)(const context& ctx, const task_opening& how) noexcept;
  void (*close)(task_ref) noexcept;
  /// Opens what stands for a coroutine that works for one task after another. It is no task by itself.
  task_ref (*open_carrier)() noexcept;
  /// This thread works for `to` from now on, or for none.
  void (*work_for)(task_ref to) noexcept;
  /// The innermost of the tasks that nest in `outer`, or `outer`.
  task_ref (*innermost)(task_ref outer) noexcept;
  /// `inner`, null: none, is what `outer` is at.
  void (*nest)(task_ref outer, task_ref inner) noexcept;
  /// What the coroutine of a task is about to wait for: a literal, "receive".
  /// \param on    An id of a task or another number, by `what`.
  /// \param lock  The address of a lock, or null: then the task that holds it when one looks is shown as `on`.
  void (*wait)(task_ref, const char* what, std::uint64_t on, const void* lock) noexcept;
  /// The same of this thread itself, and that it goes on.
  void (*block)(const char* what, std::uint64_t on, const void* lock) noexcept;
  void (*unblock)() noexcept;
  /// The task that this thread works for has a lock, by its address, for itself; nobody that is known has it any more.
  void (*hold)(const void* lock) noexcept;
  void (*let_go)(const void* lock) noexcept;
  /// A time for `lag`.
  std::uint64_t (*ticks)() noexcept;
  /// A coroutine that could go on at `since`, 0: just now, does so now.
  void (*lag)(std::uint64_t since) noexcept;
  /// The id of a task, 0: none.
  std::uint64_t (*id)(task_ref) noexcept;
};

/// Null: nothing has listened so far. Once set it stays, so that what was opened can be closed; a listener that no longer
/// cares opens nothing.
inline constinit std::atomic<const task_hooks*> hooks{nullptr};

/// What this thread works for. Changed by the hooks alone.
inline constinit thread_local task_ref current_task;

[[nodiscard]] inline const task_hooks* task_listener() noexcept {
  return hooks.load(std::memory_order_acquire);  // pairs: the store of the listener
}

/// As long as it lives, this thread works for `task`, or what is nested in it; for none if `task` names none.
class working_for {
 public:
  explicit working_for(task_ref task) noexcept {
    if (const task_hooks* h = task_listener(); h != nullptr) [[unlikely]]
      begin(*h, task);
  }
  struct on_loop {};
  /// For a coroutine, which holds its event loop.
  working_for(task_ref task, on_loop /*tag*/) noexcept : working_for(task) {
    if (listener_ != nullptr) [[unlikely]]
      listener_->lag(0);
  }
  working_for(const working_for&) = delete;
  working_for& operator=(const working_for&) = delete;
  ~working_for() {
    if (listener_ != nullptr) [[unlikely]]
      listener_->work_for(before_);
  }

 private:
  void begin(const task_hooks& h, task_ref task) noexcept {
    listener_ = &h;
    before_ = current_task;
    h.work_for(task ? h.innermost(task) : task);
  }

  const task_hooks* listener_ = nullptr;
  task_ref before_;
};

/// A task that the library opens for a piece of its work. It ends with this, in any thread.
class open_task {
 public:
  open_task() noexcept = default;
  /// Its parent is the task that this thread works for.
  open_task(const context& ctx, const task_kind& kind, std::string_view name,
            std::source_location where) noexcept {
    if (const task_hooks* h = task_listener(); h != nullptr) [[unlikely]]
      ref_ = h->open(ctx, {&kind, name, current_task, where});
  }
  open_task(open_task&& other) noexcept : ref_(std::exchange(other.ref_, {})) {}
  open_task& operator=(open_task&& other) noexcept {
    std::swap(ref_, other.ref_);
    return *this;
  }
  ~open_task() { close(); }

  void close() noexcept {
    if (ref_) [[unlikely]]
      task_listener()->close(std::exchange(ref_, {}));
  }
  [[nodiscard]] task_ref ref() const noexcept { return ref_; }

 private:
  friend class carrier;
  explicit open_task(task_ref adopted) noexcept : ref_(adopted) {}

  task_ref ref_;
};

/// 0: none.
[[nodiscard]] inline std::uint64_t id_of(const open_task& of) noexcept {
  return of.ref() ? task_listener()->id(of.ref()) : 0;
}

/// Stands for a coroutine that works for one task after another, which nest in it: the coroutine's executor names it.
class carrier {
 public:
  carrier() noexcept {
    if (const task_hooks* h = task_listener(); h != nullptr) [[unlikely]]
      self_ = open_task(h->open_carrier());
  }
  [[nodiscard]] task_ref ref() const noexcept { return self_.ref(); }

 private:
  open_task self_;
};

/// Nests a task in another one that this thread works for, and has the thread work for it; until this ends, in any thread.
class nested {
 public:
  nested() noexcept = default;
  nested(task_ref outer, task_ref inner) noexcept : outer_(outer), inner_(inner) {
    if (!inner_) return;
    const task_hooks& h = *task_listener();
    if (outer_) h.nest(outer_, inner_);
    h.work_for(inner_);
  }
  nested(nested&& other) noexcept : outer_(other.outer_), inner_(std::exchange(other.inner_, {})) {}
  nested& operator=(nested&&) = delete;
  ~nested() { end(); }

  void end() noexcept {
    if (!inner_) return;
    const task_hooks& h = *task_listener();
    if (outer_) h.nest(outer_, {});
    if (current_task == std::exchange(inner_, {})) h.work_for(outer_);
  }

 private:
  task_ref outer_;
  task_ref inner_;
};

/// Says what this thread waits for, as long as it lives. For the slow path of a wait.
class waiting_for {
 public:
  explicit waiting_for(const char* what, std::uint64_t on = 0, const void* lock = nullptr) noexcept
      : told_(static_cast<bool>(current_task)) {
    if (told_) [[unlikely]]
      task_listener()->block(what, on, lock);
  }
  waiting_for(const waiting_for&) = delete;
  waiting_for& operator=(const waiting_for&) = delete;
  ~waiting_for() {
    if (told_) [[unlikely]]
      task_listener()->unblock();
  }

 private:
  const bool told_;
};

/// Says what the coroutine waits for that this thread runs and that is suspended now. That ends when a thread works for
/// its task again.
inline void about_to_wait(const char* what, std::uint64_t on = 0, const void* lock = nullptr) noexcept {
  if (current_task) [[unlikely]]
    task_listener()->wait(current_task, what, on, lock);
}

/// Says that this thread has taken a lock for itself, for its task; and, before another one may take it, that it gives it
/// back. The address is a name only.
inline void now_holds(const void* lock) noexcept {
  if (const task_hooks* h = task_listener(); h != nullptr) [[unlikely]]
    h->hold(lock);
}
inline void holds_no_more(const void* lock) noexcept {
  if (const task_hooks* h = task_listener(); h != nullptr) [[unlikely]]
    h->let_go(lock);
}

}  // namespace detail
}  // namespace curfew
