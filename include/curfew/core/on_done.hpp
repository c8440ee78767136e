#pragma once

#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/intrusive_list.hpp>
#include <functional>
#include <type_traits>
#include <utility>

namespace curfew {

namespace detail {

struct ender_node;

/// False of background(), of other roots and of what without_cancel makes.
[[nodiscard]] bool can_end(const context& ctx) noexcept;

/// A callback in the list of the node whose end it waits for. Its states, and the functions that change them, are
/// drawn in src/core/callback.cpp.
class callback : public list_hook<> {  // guarded by the node's lock
 public:
  callback(const callback&) = delete;
  callback& operator=(const callback&) = delete;

 protected:
  using invoke_fn = void (*)(callback*) noexcept;

  callback(context ctx, invoke_fn invoke) noexcept : ctx_(std::move(ctx)), invoke_(invoke) {}
  ~callback() = default;

  /// Puts it in the list, or runs it now if the context has ended.
  void enlist() noexcept;
  /// After this it neither runs nor will run. Waits while another thread is running it.
  /// \param destroying  If called from inside the callback: the thread that runs it must not touch it again.
  /// \return whether it was this call that prevented the run.
  bool delist(bool destroying) noexcept;

  /// As delist, but does not wait: when it returns false, another thread may be running it.
  bool withdraw() noexcept;

 public:
  [[nodiscard]] const context& ctx() const noexcept { return ctx_; }

 private:
  friend void run_callbacks(ender_node* n) noexcept;

  context ctx_;
  invoke_fn invoke_;
  threads::atomic<std::uint8_t> state_{0};
  threads::plain<threads::id> runner_{};       // written before state_ says "running"
  threads::plain<bool*> destroyed_ = nullptr;  // of the runner's frame: set when the callback destroys itself
};

}  // namespace detail

/// Runs `f` once when `ctx` ends; at once, in this constructor, if it already has.
///
/// `f` runs in the thread that ends the context (the canceling one, or the timer's), so it has to be
/// short and must not block; it must not throw (std::terminate). When it runs, every context below the
/// one that ended has its err set, but for those that another thread is ending by itself at that moment.
/// The callbacks of one context run in the order of their registration.
///
/// The destructor removes `f`: after it has returned `f` neither runs nor will run. If another thread is
/// running `f` it waits for that, as `stop` does; called from inside `f` they do not wait. It follows that the
/// thread that waits must not hold what `f` needs to go on. Do not destroy or stop it
///  - while holding a lock that `f` takes: give the lock back first, so
///
///        std::unique_lock lock(mutex_);
///        auto removed = std::move(ends_);   // a std::unique_ptr
///        lock.unlock();
///        removed.reset();                   // may wait for f, which may take mutex_
///
///  - from a callback that `f` waits for, such as two callbacks in two threads that destroy each other.
/// Where that cannot be kept, take `after_func`: its `stop()` does not wait, and `f` keeps alive what it
/// uses.
///
/// Thread safety: construct and destroy from any thread.     Cost: no allocation.
/// Source: std::stop_callback; Go 1.27 context.AfterFunc (which starts a goroutine instead).
template <class F>
class [[nodiscard("an on_done that is not kept removes its callback at once: name it")]] on_done
    : private detail::callback {
 public:
  template <class G>
    requires std::is_constructible_v<F, G>
  [[nodiscard("an on_done that is not kept removes its callback at once: name it")]] on_done(
      const context& ctx, G&& f) noexcept(std::is_nothrow_constructible_v<F, G>)
      : callback(ctx, [](callback* self) noexcept { std::invoke(static_cast<on_done*>(self)->f_); }),
        f_(std::forward<G>(f)) {
    enlist();
  }
  on_done(const on_done&) = delete;  // an on_done stays where it was made: the context points to it
  on_done& operator=(const on_done&) = delete;
  ~on_done() { delist(true); }

  /// Removes the callback early. After it has returned `f` neither runs nor will run, but for one that called
  /// this itself. Waits as the destructor does.
  /// \return whether it was this call that prevented the run.
  bool stop() noexcept { return delist(false); }

 private:
  F f_;
};

template <class F>
on_done(const context&, F) -> on_done<F>;

}  // namespace curfew
