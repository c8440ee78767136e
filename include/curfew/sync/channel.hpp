#pragma once

#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/channel_state.hpp>
#include <curfew/sync/detail/channel_waits.hpp>
#include <curfew/sync/detail/own_line.hpp>
#include <curfew/sync/detail/wait_for_one.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace curfew {

namespace detail {
struct channel_access;
}  // namespace detail

/// Items from any number of senders to any number of receivers, in order.
///
///     curfew::channel<std::string> lines(16);
///     auto sent = lines.send(ctx, "one");    // result<>: waits while 16 are in flight
///     if (!sent) return sent.error();        // ctx has ended, or the channel is closed
///     auto line = lines.receive(ctx);        // result<std::optional<std::string>>
///     if (!line) return line.error();        // ctx has ended
///     if (!*line) return {};                 // closed and drained
///
/// With capacity 0 an item goes from hand to hand: `send` waits for a receiver. Waits are served in the order of
/// coming, and nothing overtakes them.
///
/// What is canceled did not happen: a `send` that returns an error has not moved from its item, a `receive`
/// that returns one has taken none. A context that has ended already sends and receives nothing; a call that is
/// waiting when its context ends may still get what comes before it has noticed.
///
/// T is moved without throwing, under the channel's lock: its move constructor must not use the channel.
/// Thread safety:  any thread. All calls are over before it is destroyed; items left in it are destroyed then.
/// Memory order:   what a sender did before `send` happens before what the receiver of the item does after.
/// Source:         Go's channels. Sending to a closed one is an error here, no panic; closing twice is fine.
template <class T>
class channel {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "curfew::channel<T>: T has to be movable without throwing, or an item could be lost; put a "
                "std::unique_ptr around it");

 public:
  /// \param capacity  How many items may be on their way; 0: from hand to hand.
  /// Throws: std::bad_alloc. Memory for all of them is allocated here, and none later.
  explicit channel(std::size_t capacity = 0) : state_(capacity) {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;
  ~channel() = default;

  /// Waits until there is room, or a receiver takes it; moves from `item` if it returns no error.
  /// Errors:  the end of ctx, with its cause; errc::closed.
  [[nodiscard]] result<> send(const context& ctx, T&& item);
  [[nodiscard]] result<> send(const context& ctx, const T& item) { return send(ctx, T(item)); }

  /// Does not wait. Errors: errc::closed; errc::would_block, which is transient.
  [[nodiscard]] result<> try_send(T&& item);
  [[nodiscard]] result<> try_send(const T& item) { return try_send(T(item)); }

  /// Waits for an item; none once the channel is closed and drained.
  /// Errors:  the end of ctx, with its cause.
  [[nodiscard]] result<std::optional<T>> receive(const context& ctx);

  /// Does not wait. Errors: errc::would_block.
  [[nodiscard]] result<std::optional<T>> try_receive();

  /// No more items: senders that wait, or come later, get errc::closed; receivers get what is left, then none.
  /// Further calls do nothing.
  void close() noexcept {
    detail::finish_list after;
    const std::lock_guard guard(state_->lock);
    state_->close(after);
  }

  /// One end of the channel, for those that send or those that receive: it is closed once the last copy is gone.
  /// Lifetime: the channel outlives all copies.  Throws: std::bad_alloc.
  [[nodiscard]] std::shared_ptr<channel> closing_end() {
    return {this, [](channel* c) noexcept { c->close(); }};
  }

  [[nodiscard]] bool closed() const noexcept {
    const std::lock_guard guard(state_->lock);
    return state_->is_closed();
  }
  /// How many items are on their way, at this moment.
  [[nodiscard]] std::size_t size() const noexcept {
    const std::lock_guard guard(state_->lock);
    return state_->size();
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return state_->capacity(); }

  /// A case for `select`: an item comes. Its handler gets a std::optional<T>, none once closed and drained.
  [[nodiscard]] detail::receiving<T> receiving() noexcept { return detail::receiving<T>(*state_); }
  /// A case for `select`: `item`, which the case owns, is sent: once. In a list of cases that is selected from
  /// again it cannot happen a second time. On a closed channel the case happens too; a handler that takes a
  /// `result<>` is told.
  [[nodiscard]] detail::sending<T> sending(T item) noexcept {
    return detail::sending<T>(*state_, std::move(item));
  }
  /// The same with a variable, which lives until the select has returned and is moved from only if this case
  /// happens. In a list of cases that is selected from again, put the next item into it first.
  [[nodiscard]] detail::sending<T> sending_from(T& item) noexcept {
    return detail::sending<T>(*state_, item);
  }

 private:
  friend struct detail::channel_access;

  detail::own_line<detail::channel_state<T>> state_;
};

// ---- definitions ----

namespace detail {
/// For tests: what waits at a channel.
struct channel_access {
  template <class T>
  static channel_state<T>& state(channel<T>& c) noexcept {
    return *c.state_;
  }
};
}  // namespace detail

template <class T>
result<> channel<T>::send(const context& ctx, T&& item) {
  if (ctx.err()) return error::ended(ctx, "send");
  alignas(64) detail::sending<T> wait(*state_, item);  // in no line that the thread looks at while it waits
  if (!detail::wait_for_one(ctx, wait, "send")) return error::ended(ctx, "send");
  return wait.outcome();
}

template <class T>
result<> channel<T>::try_send(T&& item) {
  detail::sending<T> wait(*state_, item);
  if (!wait.try_now()) return detail::full_channel("send");
  return wait.outcome();
}

template <class T>
result<std::optional<T>> channel<T>::receive(const context& ctx) {
  if (ctx.err()) return error::ended(ctx, "receive");
  alignas(64) detail::receiving<T> wait(*state_);  // as above
  if (!detail::wait_for_one(ctx, wait, "receive")) return error::ended(ctx, "receive");
  return wait.outcome();
}

template <class T>
result<std::optional<T>> channel<T>::try_receive() {
  detail::receiving<T> wait(*state_);
  if (!wait.try_now()) return detail::full_channel("receive");
  return wait.outcome();
}

}  // namespace curfew
