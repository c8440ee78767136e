#pragma once

#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/done.hpp>
#include <initializer_list>
#include <source_location>
#include <span>
#include <stop_token>
#include <utility>

namespace curfew {

namespace detail {
struct canceler_control;
struct scope_access;
}  // namespace detail

/// A copyable handle that can end one context, for code that does not own its scope, such as a Cancel button.
/// It keeps nothing alive. Once the context has ended it does nothing.
/// Thread safety: any thread; `cancel` as `cancel_scope::cancel`.
class canceler {
 public:
  /// Cancels nothing.
  canceler() noexcept = default;
  canceler(const canceler& other) noexcept;
  canceler(canceler&& other) noexcept : control_(std::exchange(other.control_, nullptr)) {}
  canceler& operator=(canceler other) noexcept {
    std::swap(control_, other.control_);
    return *this;
  }
  ~canceler();

  void cancel() const noexcept;
  void cancel(cause why) const noexcept;

 private:
  friend class cancel_scope;
  explicit canceler(detail::canceler_control* adopted) noexcept : control_(adopted) {}

  detail::canceler_control* control_ = nullptr;
};

/// Owns a derived context: when the scope is destroyed, the context is canceled. So what was started under it stops
/// when the block is left, by return or by an exception.
///
/// Converts to `const context&` where it is a variable with a name. Move-only; a moved-from scope may
/// only be destroyed or assigned to.
/// Thread safety: `cancel` and the observers from any thread; moving and destroying as for any object.
class [[nodiscard("a cancel_scope that is not kept cancels its context at once: name it")]] cancel_scope {
 public:
  cancel_scope(cancel_scope&& other) noexcept : node_(std::move(other.node_)) {}
  /// Cancels what this scope owned before.
  cancel_scope& operator=(cancel_scope&& other) noexcept {
    cancel_scope taken(std::move(other));
    std::swap(node_, taken.node_);
    return *this;
  }
  ~cancel_scope();

  /// The context that this scope owns.
  [[nodiscard]] const context& ctx() const& noexcept { return node_; }
  // clang-format off: compilers show the whole line, which says what is wrong
  const context& ctx() const&& = delete;  // a temporary cancel_scope cancels at the end of the line: name it first
  // clang-format on
  operator const context&() const& noexcept { return node_; }  // NOLINT(google-explicit-constructor)
  // clang-format off
  operator const context&() const&& = delete;  // a temporary cancel_scope cancels at the end of the line: name it first
  // clang-format on

  /// Ends the context, and all below it, with `errc::canceled`. The first end stays: further calls do nothing.
  /// On return `err()` is set in all of them, unless another thread was first and is not done yet. Runs the
  /// callbacks registered with `on_done` in this thread. Does not wait for work to stop.
  void cancel() noexcept;
  /// As above, and says why.
  void cancel(cause why) noexcept;
  /// A handle with which others can cancel. Throws: std::bad_alloc.
  [[nodiscard]] curfew::canceler canceler() const;

  [[nodiscard]] std::error_code err() const noexcept { return node_.err(); }
  [[nodiscard]] curfew::cause cause() const noexcept { return node_.cause(); }
  [[nodiscard]] std::optional<clock::time_point> deadline() const noexcept { return node_.deadline(); }
  [[nodiscard]] std::optional<clock::duration> remaining() const noexcept { return node_.remaining(); }
  [[nodiscard]] done_signal done() const noexcept { return node_.done(); }
  [[nodiscard]] std::stop_token stop_token() const { return node_.stop_token(); }
  template <class T>
  [[nodiscard]] const T* value(const key<T>& key) const noexcept {
    return node_.value(key);
  }

 private:
  friend struct detail::scope_access;
  explicit cancel_scope(context owned) noexcept : node_(std::move(owned)) {}

  context node_;
};

/// Derives a child of `parent` that ends when its scope is canceled or destroyed, or with `parent`.
/// Ends with:      errc::canceled, or what the parent ended with. The first stays.
/// Throws:         std::bad_alloc.
/// Thread safety:  any thread.     Cost: one allocation.
/// Source:         Go 1.27 context.WithCancel, WithCancelCause.
[[nodiscard]] cancel_scope with_cancel(const context& parent,
                                       std::source_location where = std::source_location::current());

/// Derives a child of `parent` that ends `timeout` from now at the latest.
///
/// \param parent   Copied; need not outlive the call.
/// \param timeout  From the context's clock. Zero or less: already ended on return. Saturates.
/// \param why      The cause if it is this deadline that ends the child; default: the err.
/// \return the scope that owns the child; destroying it cancels the child.
/// Ends with:      errc::deadline_exceeded at the deadline, errc::canceled on cancel(), else the parent's.
///                 The first stays.
/// Throws:         std::bad_alloc; no timer is left behind. std::system_error if the timer thread, which
///                 the first deadline of the process starts, cannot be started.
/// Thread safety:  any thread.     Cost: one allocation, one timer.
/// Source:         Go 1.27 context.WithTimeout, WithTimeoutCause.
[[nodiscard]] cancel_scope with_timeout(const context& parent, clock::duration timeout, cause why = {},
                                        std::source_location where = std::source_location::current());

/// As `with_timeout`, with a point in time of the context's clock.
/// Source: Go 1.27 context.WithDeadline, WithDeadlineCause.
[[nodiscard]] cancel_scope with_deadline(const context& parent, clock::time_point deadline, cause why = {},
                                         std::source_location where = std::source_location::current());

/// Derives a child of `parent` that ends when `token` is stopped, too: for code that is called with a
/// std::stop_token, as a std::jthread's function is. The other way round: `context::stop_token`.
///
///     std::jthread worker([](std::stop_token token) {
///       auto scope = curfew::with_stop_token(curfew::background(), token);
///       work(scope);
///     });
///
/// Ends with:      errc::canceled and the cause "stop requested" when the token is stopped, in the thread that
///                 stops it; at once if it has been; errc::canceled on cancel(), else the parent's. The first
///                 stays.
/// Throws:         std::bad_alloc.
/// Thread safety:  any thread.     Cost: a few allocations.
[[nodiscard]] cancel_scope with_stop_token(const context& parent, std::stop_token token,
                                           std::source_location where = std::source_location::current());

/// Derives a context that ends when the first of several ends, with its err and its cause.
///
///     auto either = curfew::merge(request, shutdown);
///
/// It is a child of each of them: it has the values of the first that has them, and the nearest deadline
/// (of those on the clock of the first). In `path` it stands under the first.
/// \param all      Copied; at least one, else std::invalid_argument.
/// Ends with:      what the first of them to end ended with; errc::canceled on cancel(). The first stays.
/// Throws:         std::bad_alloc, std::invalid_argument.
/// Thread safety:  any thread.     Cost: an allocation, one for each further context that can end, and one
///                 for each value that the first does not have.
[[nodiscard]] cancel_scope merge(std::span<const context> all,
                                 std::source_location where = std::source_location::current());
[[nodiscard]] inline cancel_scope merge(std::initializer_list<context> all,
                                        std::source_location where = std::source_location::current()) {
  return merge(std::span<const context>(all.begin(), all.size()), where);
}
[[nodiscard]] inline cancel_scope merge(const context& a, const context& b,
                                        std::source_location where = std::source_location::current()) {
  return merge({a, b}, where);
}
[[nodiscard]] inline cancel_scope merge(const context& a, const context& b, const context& c,
                                        std::source_location where = std::source_location::current()) {
  return merge({a, b, c}, where);
}

}  // namespace curfew
