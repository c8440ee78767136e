#pragma once

#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/detail/node.hpp>
#include <curfew/core/key.hpp>
#include <optional>
#include <stop_token>
#include <system_error>
#include <type_traits>
#include <utility>

namespace curfew {

class done_signal;

/// Says whether anybody still waits for the work at hand, until when, and for whom: cancellation, a
/// deadline and request-scoped values in one value.
///
/// Take it as the first parameter, `ctx`: by `const&` in functions, by value in coroutines. Hand it on;
/// derive from it (`with_timeout`, `with_cancel`, `with_value`) to narrow it. Do not keep it in objects
/// that outlive the request.
///
/// One pointer wide, never null, cheap to copy. A moved-from context is `background()`.
/// Thread safety: the context is immutable; any number of threads may use the same one.
class context {
 public:
  // clang-format off: compilers show the whole line, which says what is wrong
  context() = delete;  // a context is not made from nothing: take the caller's ctx, or start from background()
  // clang-format on

  context(const context& other) noexcept : node_(other.node_) { detail::retain(node_); }
  context(context&& other) noexcept;
  context& operator=(const context& other) noexcept {
    detail::retain(other.node_);
    detail::release(std::exchange(node_, other.node_));
    return *this;
  }
  context& operator=(context&& other) noexcept {
    context taken(std::move(other));
    std::swap(node_, taken.node_);
    return *this;
  }
  ~context() { detail::release(node_); }

  /// None while the context lives; then `errc::canceled` or `errc::deadline_exceeded`, for good.
  /// Cost: one atomic load at any depth.
  [[nodiscard]] std::error_code err() const noexcept {
    return detail::end_codes.code[node_->ender->ended.load(std::memory_order_acquire)];  // pairs: tree::mark
  }

  /// Why it ended; none while it lives; the err where nobody gave a cause.
  [[nodiscard]] curfew::cause cause() const noexcept;

  /// The nearest deadline of this context and all above it; none where there is none.
  [[nodiscard]] std::optional<clock::time_point> deadline() const noexcept;

  /// The time left until the deadline, never negative; none where there is no deadline.
  [[nodiscard]] std::optional<clock::duration> remaining() const noexcept;

  /// The time on this context's clock: the system's, or that of the manual clock it was made from.
  [[nodiscard]] clock::time_point now() const noexcept;

  /// The end as something to wait for.
  [[nodiscard]] done_signal done() const noexcept;

  /// A token that is stopped when this context ends, for std::jthread, std::stop_callback and
  /// std::condition_variable_any. Without a possible end: a token that can never be stopped.
  /// Throws: std::bad_alloc. Cost: one allocation at the first call on each context.
  [[nodiscard]] std::stop_token stop_token() const;

  /// The value that the nearest `with_value` gave to `key`, or null. Valid as long as any copy of this
  /// context, or one derived from it, lives.
  template <class T>
  [[nodiscard]] const T* value(const key<T>& key) const noexcept;

  /// Are they the same place in the tree?
  friend bool operator==(const context& a, const context& b) noexcept { return a.node_ == b.node_; }

 private:
  friend struct detail::tree;
  explicit context(detail::node* adopted) noexcept : node_(adopted) {}

  detail::node* node_;
};

/// The root of all contexts: never ends, has no deadline and no values. For main, for tests, and where
/// work starts that nobody asked for.
[[nodiscard]] const context& background() noexcept;

/// As `background()`, for code that has no context to hand on yet: it marks the place.
[[nodiscard]] const context& todo() noexcept;

/// Derives a context with the values of `ctx` that does not end with it and has no deadline: for the
/// clean-up that must outlive the request. It stays on the same clock.
/// Throws: std::bad_alloc.
/// Source: Go 1.27 context.WithoutCancel.
[[nodiscard]] context without_cancel(const context& ctx);

/// Derives a context in which `key` has `value`. It ends with `ctx`.
///
/// Values are for what belongs to a request and crosses many layers (trace id, user); parameters of a
/// function are parameters.
/// Throws: std::bad_alloc, and what constructing the value throws.
/// Source: Go 1.27 context.WithValue.
template <class T>
[[nodiscard]] context with_value(const context& ctx, const key<T>& key, std::type_identity_t<T> value);

namespace detail {

template <class T>
struct typed_value final : value_node {
  T value;

  typed_value(node* up, const void* k, T&& v)
      : value_node(up, k, [](value_node* n) noexcept { delete static_cast<typed_value*>(n); }),
        value(std::move(v)) {}
};

/// The door between contexts and nodes.
struct tree {
  static node* of(const context& ctx) noexcept { return ctx.node_; }
  static context adopt(node* n) noexcept { return context(n); }
  static const cause_record* of(const curfew::cause& why) noexcept { return why.record_; }
  static const cause_record* take(curfew::cause& why) noexcept { return std::exchange(why.record_, nullptr); }
  static curfew::cause adopt(const cause_record* record) noexcept { return curfew::cause(record); }
};

}  // namespace detail

inline context::context(context&& other) noexcept
    : node_(std::exchange(other.node_, detail::tree::of(background()))) {}

template <class T>
const T* context::value(const key<T>& key) const noexcept {
  const std::size_t which = detail::key_class(&key);
  for (const detail::value_node* v = node_->values; v != nullptr; v = v->outer[which]) {
    if (v->key == &key) return &static_cast<const detail::typed_value<T>*>(v)->value;
  }
  return nullptr;
}

template <class T>
context with_value(const context& ctx, const key<T>& key, std::type_identity_t<T> value) {
  detail::node* up = detail::tree::of(ctx);
  auto* made = new detail::typed_value<T>(up, &key, std::move(value));
  detail::retain(up);  // for `made`, now that nothing can throw any more
  return detail::tree::adopt(made);
}

}  // namespace curfew
