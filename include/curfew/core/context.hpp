#pragma once

#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/detail/node.hpp>
#include <curfew/core/key.hpp>
#include <functional>
#include <optional>
#include <source_location>
#include <stop_token>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {

class done_signal;

/// Says whether the result of the work at hand is still wanted, and until when: cancellation, a deadline and
/// request-scoped values in one value.
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

  /// False while the context lives; then `errc::canceled` or `errc::deadline_exceeded`, for good. Ask `if (ctx.err())`.
  /// While the context lives it is `curfew:0`, "not ended", so that a log does not report the "Success" of category
  /// system; hence it is not equal to `std::error_code()`.
  /// Cost: one atomic load at any depth.
  [[nodiscard]] std::error_code err() const noexcept {
    return detail::end_codes.code[detail::end_code_at(detail::ender_at(node_))];
  }

  /// Why it ended; none while it lives; the err where no cause was given.
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

  /// How it came to be, for logs: `background.with_timeout(3s).with_value(trace id)`. A value is printed
  /// only if its key allows it. Durations are rounded to three digits; a long path is cut in its middle.
  /// Throws: std::bad_alloc, and what printing a value throws.
  [[nodiscard]] std::string path() const;

  /// The line that derived it; empty for roots.
  [[nodiscard]] std::source_location origin() const noexcept { return node_->where; }

  /// Are they the same place in the tree?
  friend bool operator==(const context& a, const context& b) noexcept { return a.node_ == b.node_; }

 private:
  friend struct detail::tree;
  explicit context(detail::node* adopted) noexcept : node_(adopted) {}

  detail::node* node_;
};

/// The root of all contexts: never ends, has no deadline and no values. For main, for tests, and for work that no
/// request started.
[[nodiscard]] const context& background() noexcept;

/// As `background()`, for code that has no context to hand on yet: it marks the place, and `todo_places`
/// lists it.
[[nodiscard]] const context& todo(std::source_location where = std::source_location::current()) noexcept;

/// The lines at which `todo()` has been called so far, each once, in the order of the first calls.
/// Throws: std::bad_alloc.
[[nodiscard]] std::vector<std::source_location> todo_places();

/// Derives a context with the values of `ctx` that does not end with it and has no deadline: for the
/// clean-up that must outlive the request. It stays on the same clock.
/// Throws: std::bad_alloc.
/// Source: Go 1.27 context.WithoutCancel.
[[nodiscard]] context without_cancel(const context& ctx,
                                     std::source_location where = std::source_location::current());

/// Derives a context in which `key` has `value`. It ends with `ctx`.
///
/// Values are for what belongs to a request and crosses many layers (trace id, user); parameters of a
/// function are parameters.
/// Throws: std::bad_alloc, and what constructing the value throws.
/// Source: Go 1.27 context.WithValue.
template <class T>
[[nodiscard]] context with_value(const context& ctx, const key<T>& key, std::type_identity_t<T> value,
                                 std::source_location where = std::source_location::current());

namespace detail {

extern threads::atomic<unsigned> observations;  // see observer.hpp
inline bool is_observed() noexcept { return observations.load(std::memory_order_relaxed) != 0; }
void tell_derived(const context& made) noexcept;

template <class T>
struct typed_value final : value_node {
  T value;

  typed_value(node* up, const key_base* k, T&& v, std::source_location made_at)
      : value_node(
            up, k, &value, [](value_node* n) noexcept { delete static_cast<typed_value*>(n); }, made_at),
        value(std::move(v)) {}
};

/// Tells the observers, if there are any.
inline void observe_derived(const context& made) noexcept {
  if (is_observed()) [[unlikely]]
    tell_derived(made);
}

/// The door between contexts and nodes.
struct tree {
  static node* of(const context& ctx) noexcept { return ctx.node_; }
  /// What `ctx` pointed to, with its reference; `ctx` may only be destroyed then.
  static node* give_up(context& ctx) noexcept { return std::exchange(ctx.node_, &nowhere); }
  /// As give_up; `ctx` is background() then.
  static node* take(context& ctx) noexcept { return std::exchange(ctx.node_, background_node); }
  template <class T>
  static const key_base* of(const curfew::key<T>& key) noexcept {
    return &key;
  }
  static context adopt(node* n) noexcept { return context(n); }
  static const cause_record* of(const curfew::cause& why) noexcept { return why.record_; }
  static const cause_record* take(curfew::cause& why) noexcept { return std::exchange(why.record_, nullptr); }
  static curfew::cause adopt(const cause_record* record) noexcept { return curfew::cause(record); }
};

}  // namespace detail

inline context::context(context&& other) noexcept : node_(detail::tree::take(other)) {}

template <class T>
const T* context::value(const key<T>& key) const noexcept {
  const detail::key_base* sought = detail::tree::of(key);
  const std::size_t which = detail::key_class(sought);
  for (const detail::value_node* v = node_->values; v != nullptr; v = v->outer[which]) {
    if (v->key == sought) return static_cast<const T*>(v->object);
  }
  return nullptr;
}

template <class T>
context with_value(const context& ctx, const key<T>& key, std::type_identity_t<T> value,
                   std::source_location where) {
  detail::node* up = detail::tree::of(ctx);
  auto* made = new detail::typed_value<T>(up, detail::tree::of(key), std::move(value), where);
  detail::retain(up);  // for `made`, now that nothing can throw any more
  context derived = detail::tree::adopt(made);
  detail::observe_derived(derived);
  return derived;
}

}  // namespace curfew

/// By place in the tree, as ==.
template <>
struct std::hash<curfew::context> {
  std::size_t operator()(const curfew::context& ctx) const noexcept {
    return std::hash<const void*>()(curfew::detail::tree::of(ctx));
  }
};
