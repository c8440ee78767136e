#pragma once

#include <cstdint>
#include <curfew/core/on_done.hpp>
#include <utility>

namespace curfew {

class after_func_handle;

namespace detail {

/// Posts a function at the end of a context. Owned by the list of callbacks and by the handle.
class posting : public callback {
 public:
  posting(const posting&) = delete;
  posting& operator=(const posting&) = delete;

  void start() noexcept { enlist(); }

  bool stop() noexcept {
    const bool prevented = withdraw();
    if (prevented) release_posting();  // the list's
    return prevented;
  }

  void release_posting() noexcept {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  virtual ~posting() { delist(true); }

 protected:
  posting(context ctx, invoke_fn invoke) noexcept : callback(std::move(ctx), invoke) {}

 private:
  friend class curfew::after_func_handle;

  threads::atomic<std::uint8_t> refs_{2};
};

template <class Executor, class F>
class posting_of final : public posting {
 public:
  template <class E, class G>
  posting_of(const context& ctx, E&& executor, G&& f)
      : posting(ctx, [](callback* self) noexcept { static_cast<posting_of*>(self)->post(); }),
        executor_(std::forward<E>(executor)),
        f_(std::forward<G>(f)) {}

 private:
  void post() noexcept {
    if constexpr (requires { executor_.execute(std::move(f_)); }) {
      executor_.execute(std::move(f_));
    } else if constexpr (requires { executor_->execute(std::move(f_)); }) {
      executor_->execute(std::move(f_));
    } else if constexpr (requires { executor_.post(std::move(f_)); }) {
      executor_.post(std::move(f_));
    } else {
      executor_->post(std::move(f_));
    }
    release_posting();
  }

  Executor executor_;
  F f_;
};

}  // namespace detail

/// What `after_func` returns. Move-only; destroying it changes nothing: the function still waits for the end.
/// Thread safety: `stop` from any thread; moving and destroying as for any object.
class after_func_handle {
 public:
  after_func_handle(after_func_handle&& other) noexcept : posting_(std::exchange(other.posting_, nullptr)) {}
  after_func_handle& operator=(after_func_handle&& other) noexcept {
    after_func_handle taken(std::move(other));
    std::swap(posting_, taken.posting_);
    return *this;
  }
  ~after_func_handle() {
    if (posting_ == nullptr) return;
    if (!detail::can_end(posting_->ctx())) posting_->stop();  // no end would ever destroy it
    posting_->release_posting();
  }

  /// Takes the function back. Does not wait for one that runs, so it may be called with any lock held.
  /// \return whether it was this call that prevented the run.
  bool stop() noexcept { return posting_ != nullptr && posting_->stop(); }

 private:
  template <class Executor, class F>
  friend after_func_handle after_func(const context& ctx, Executor executor, F f);
  explicit after_func_handle(detail::posting* adopted) noexcept : posting_(adopted) {}

  detail::posting* posting_;
};

/// Posts `f` to `executor` once when `ctx` ends; at once if it already has. Unlike `on_done`, `f` may block
/// and take its time: it does not run in the thread that ends the context. And it stays registered although
/// the handle is dropped.
///
/// \param executor  Anything with `execute(f)` or `post(f)`, or a pointer to it: copied, or kept as a
///                  pointer. Asio's executors do. It must take `f` without throwing: where it throws,
///                  std::terminate, since no caller is left to throw to.
/// \param f         Moved into the executor; destroyed unused by `stop()`, or if `ctx` cannot end, by the
///                  handle.
/// Throws:          std::bad_alloc, and what copying throws.
/// Thread safety:   any thread.     Cost: one allocation, and the executor's.
/// Source:          Go 1.27 context.AfterFunc.
template <class Executor, class F>
after_func_handle after_func(const context& ctx, Executor executor, F f) {
  auto* made = new detail::posting_of<Executor, F>(ctx, std::move(executor), std::move(f));
  after_func_handle handle(made);
  made->start();
  return handle;
}

}  // namespace curfew
