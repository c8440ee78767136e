#pragma once

#include <curfew/core/context.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <source_location>
#include <string_view>

namespace curfew {

/// A piece of work under a context, from here to the end of the block, which inspection shows:
///
///     inline constexpr curfew::task_kind resizing{"resize"};
///
///     void resize(const curfew::context& ctx, const photo& of) {
///       const curfew::task working(ctx, resizing, of.name());
///       …
///     }
///
/// The library makes tasks of its own: a server's request, a client's call, a task of a group. One that this thread, or this
/// coroutine, is at is the parent of the one that is made here. `inspect` shows them while they are open, with what they
/// wait for and what CPU they have taken, and shows by name those that were told to stop and have not.
///
/// In a coroutine: one that the library runs, such as a server's handler or a coroutine that `spawn` started. In another
/// one, whatever its thread does after a `co_await` counts for the task until that has ended.
///
/// Thread safety: made and destroyed by one thread or coroutine, innermost first.
/// Cost: without a listener a load and a branch. With one: some 90 ns, and 192 B while it is open.
class [[nodiscard("a task that is not kept ends at once: name it")]] task {
 public:
  /// \param ctx   What the work is under. Copied.
  /// \param name  What tells it from others of its kind. Copied; the console shows it, so no secrets.
  task(const context& ctx, const task_kind& kind, std::string_view name = {},
       std::source_location where = std::source_location::current()) noexcept
      : outer_(detail::current_task),
        self_(ctx, kind, name, where),
        nested_(outer_, self_.ref()) {}
  task(const task&) = delete;
  task& operator=(const task&) = delete;
  ~task() = default;

 private:
  detail::task_ref outer_;
  detail::open_task self_;
  detail::nested nested_;
};

}  // namespace curfew
