#pragma once

#include <algorithm>
#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/own_line.hpp>
#include <curfew/sync/detail/select_case.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/wait_for_one.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <curfew/sync/errc.hpp>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace curfew {

template <class T>
class channel;

namespace detail {

[[nodiscard]] std::unexpected<error> closed_channel(const char* doing);
[[nodiscard]] std::unexpected<error> full_channel(const char* doing);
[[nodiscard]] std::unexpected<error> ended_channel(const context& ctx, const char* doing);

/// A party that waits at a channel.
template <class T>
struct channel_entry : wait_entry {
  T* from = nullptr;                    // of a sender: moved from by the one who claims it
  std::optional<T>* to = nullptr;       // of a receiver: filled by the one who claims it
  threads::plain<bool> closed = false;  // it was close() that claimed it
};

/// What happened to an attempt.
enum class attempt : unsigned char { happened, closed, must_wait };

/// The state of a channel, all in one cache line, and its lock, which the caller holds where nothing else is said.
///
/// Invariants
///  1. Someone waits in `receivers_` only while the ring is empty, and in `senders_` only while it is full.
///     (Whose waiter was claimed elsewhere may be in either; he does not count.)
///  2. Items leave in the order in which they came: a sender that waited has its item put into the ring by
///     the receiver that made room.
///  3. Whenever the lock is given back, can_receive_ is false only if a receive would have to wait, and
///     can_send_ only if a send would. Who reads them without the lock sees them no older than what happened
///     before.
template <class T>
class channel_state {
 public:
  explicit channel_state(std::size_t capacity)
      : can_send_(capacity != 0),
        capacity_(capacity),
        ring_(capacity_ ? allocate() : nullptr) {}
  channel_state(const channel_state&) = delete;
  channel_state& operator=(const channel_state&) = delete;
  ~channel_state() {
    for (; size_ != 0; size_ = size_ - 1) {
      std::destroy_at(ring_ + head_);
      advance(head_);
    }
    if (ring_ != nullptr) std::allocator<T>().deallocate(ring_, capacity_);
  }

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// For how many pauses of the processor a party stays away that finds the other at it, so that the other gets
  /// on by several items before the cache lines have to move: about the time of half of the items.
  [[nodiscard]] unsigned patience() const noexcept {
    return static_cast<unsigned>(std::min<std::size_t>(capacity_ / 2, 32));
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool closed() const noexcept { return closed_; }

  [[nodiscard]] const wait_list& senders() const noexcept { return senders_; }
  [[nodiscard]] const wait_list& receivers() const noexcept { return receivers_; }

  /// False: at this moment it would have to wait. Without the lock.
  [[nodiscard]] bool can_send() const noexcept { return can_send_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool can_receive() const noexcept { return can_receive_.load(std::memory_order_relaxed); }

  void enlist_sender(wait_entry& e) noexcept {
    senders_.push_back(e);
    note();
  }
  void enlist_receiver(wait_entry& e) noexcept {
    receivers_.push_back(e);
    note();
  }
  void delist_sender(wait_entry& e) noexcept {
    senders_.remove(e);
    note();
  }
  void delist_receiver(wait_entry& e) noexcept {
    receivers_.remove(e);
    note();
  }

  attempt send(T& item, finish_list& after) noexcept {
    if (closed_) return attempt::closed;
    if (wait_entry* e = receivers_.pop_claimed(); e != nullptr) {
      static_cast<channel_entry<T>*>(e)->to->emplace(std::move(item));
      after.add(*e);
      note();
      return attempt::happened;
    }
    if (size_ != capacity_) {
      push(std::move(item));
      note();
      return attempt::happened;
    }
    note();
    return attempt::must_wait;
  }

  attempt receive(std::optional<T>& item, finish_list& after) noexcept {
    if (size_ != 0) {
      item.emplace(std::move(ring_[head_]));
      std::destroy_at(ring_ + head_);
      advance(head_);
      size_ = size_ - 1;
      if (auto* e = static_cast<channel_entry<T>*>(senders_.pop_claimed()); e != nullptr) {
        push(std::move(*e->from));
        after.add(*e);
      }
      note();
      return attempt::happened;
    }
    if (auto* e = static_cast<channel_entry<T>*>(senders_.pop_claimed()); e != nullptr) {  // capacity 0
      item.emplace(std::move(*e->from));
      after.add(*e);
      note();
      return attempt::happened;
    }
    note();
    return closed_ ? attempt::closed : attempt::must_wait;
  }

  void close(finish_list& after) noexcept {
    if (closed_) return;
    closed_ = true;
    for (wait_list* list : {&receivers_, &senders_}) {
      while (auto* e = static_cast<channel_entry<T>*>(list->pop_claimed())) {
        e->closed = true;
        after.add(*e);
      }
    }
    note();
  }

  spin_lock lock;

 private:
  [[nodiscard]] T* allocate() const { return std::allocator<T>().allocate(capacity_); }

  void advance(std::size_t& at) const noexcept {
    if (++at == capacity_) at = 0;
  }

  void push(T&& item) noexcept {
    std::construct_at(ring_ + tail_, std::move(item));
    advance(tail_);
    size_ = size_ + 1;
  }

  void note() noexcept {
    const auto set = [](auto& flag, bool value) {
      if (flag.load(std::memory_order_relaxed) != value) flag.store(value, std::memory_order_relaxed);
    };
    set(can_receive_, size_ != 0 || closed_ || !senders_.empty());
    set(can_send_, size_ != capacity_ || closed_ || !receivers_.empty());
  }

  threads::plain<bool> closed_ = false;
  threads::atomic<bool> can_receive_{false};
  threads::atomic<bool> can_send_;
  wait_list senders_;
  wait_list receivers_;
  threads::plain<std::size_t> size_ = 0;
  const std::size_t capacity_;
  T* const ring_;
  std::size_t head_ = 0;  // of the oldest item
  std::size_t tail_ = 0;  // of the next one to come
};

template <class T>
class receiving;
template <class T>
class sending;
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
/// With capacity 0 an item goes from hand to hand: `send` waits until somebody receives. Nobody overtakes:
/// who waits is served in the order of coming.
///
/// What is canceled did not happen: a `send` that returns an error has not moved from its item, a `receive`
/// that returns one has taken none. A context that has ended already sends and receives nothing; a call that is
/// waiting when its context ends may still get what comes before it has noticed.
///
/// T is moved without throwing, under the channel's lock: its move constructor must not use the channel.
/// Thread safety:  any thread. Whoever uses it must be done before it is destroyed; items left in it are
///                 destroyed then.
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
  /// Errors:  the end of ctx, with its cause; sync_errc::closed.
  result<> send(const context& ctx, T&& item);
  result<> send(const context& ctx, const T& item) { return send(ctx, T(item)); }

  /// Does not wait. Errors: sync_errc::closed; sync_errc::would_block, which is transient.
  result<> try_send(T&& item);
  result<> try_send(const T& item) { return try_send(T(item)); }

  /// Waits for an item; none once the channel is closed and drained.
  /// Errors:  the end of ctx, with its cause.
  [[nodiscard]] result<std::optional<T>> receive(const context& ctx);

  /// Does not wait. Errors: sync_errc::would_block.
  [[nodiscard]] result<std::optional<T>> try_receive();

  /// No more items: whoever waits to send, or comes later, gets sync_errc::closed; receivers get what is
  /// left, then none. Further calls do nothing.
  void close() noexcept;

  [[nodiscard]] bool closed() const noexcept;
  /// How many items are on their way, at this moment.
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] std::size_t capacity() const noexcept { return state_->capacity(); }

  /// A case for `select`: an item comes. Its handler gets a std::optional<T>, none once closed and drained.
  [[nodiscard]] detail::receiving<T> receiving() noexcept { return detail::receiving<T>(*this); }
  /// A case for `select`: `item`, which the case owns, is sent: once. In a list of cases that is selected from
  /// again it cannot happen a second time. On a closed channel the case happens too; a handler that takes a
  /// `result<>` is told.
  [[nodiscard]] detail::sending<T> sending(T item) noexcept {
    return detail::sending<T>(*this, std::move(item));
  }
  /// The same with a variable, which lives until the select has returned and is moved from only if this case
  /// happens. In a list of cases that is selected from again, put the next item into it first.
  [[nodiscard]] detail::sending<T> sending_from(T& item) noexcept { return detail::sending<T>(*this, item); }

 private:
  friend struct detail::channel_access;

  detail::own_line<detail::channel_state<T>> state_;
};

/// The items of a channel until it is closed and drained, or ctx ends:
///
///     for (auto item : curfew::drain(ctx, lines)) use(item);
///     if (ctx.err()) …                                          // which of the two it was
///
/// Lifetime: ctx and the channel outlive it. Thread safety: one thread; several may each drain one channel.
template <class T>
class drain {
 public:
  class iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    explicit iterator(drain& from) : from_(&from) { ++*this; }
    T&& operator*() const noexcept { return std::move(*from_->item_); }
    iterator& operator++() {
      auto next = from_->channel_.receive(from_->ctx_);
      from_->item_.reset();
      if (next && *next) from_->item_.emplace(std::move(**next));
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& a, std::default_sentinel_t /*end*/) noexcept {
      return a.is_over();
    }

   private:
    [[nodiscard]] bool is_over() const noexcept { return !from_->item_.has_value(); }

    drain* from_;
  };

  drain(const context& ctx, channel<T>& from) noexcept : ctx_(ctx), channel_(from) {}
  drain(const drain&) = delete;
  drain& operator=(const drain&) = delete;

  [[nodiscard]] iterator begin() { return iterator(*this); }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  const context& ctx_;
  channel<T>& channel_;
  std::optional<T> item_;
};

// ---- how it is done ----

namespace detail {

struct channel_access {
  template <class T>
  static spin_lock& lock(channel<T>& c) noexcept {
    return c.state_->lock;
  }
  template <class T>
  static channel_state<T>& state(channel<T>& c) noexcept {
    return *c.state_;
  }
};

/// A receive as a case of a select, or as a wait of its own.
template <class T>
class receiving {
 public:
  explicit receiving(channel<T>& from) noexcept : channel_(&from) {}
  receiving(receiving&& other) noexcept : channel_(other.channel_) {}

  [[nodiscard]] bool may_happen() const noexcept { return channel_access::state(*channel_).can_receive(); }
  [[nodiscard]] bool try_now() noexcept {
    if (!may_happen()) return false;
    finish_list after;
    lock()->lock(patience());
    const std::lock_guard guard(*lock(), std::adopt_lock);
    return try_locked(after);
  }
  [[nodiscard]] spin_lock* lock() noexcept { return &channel_access::lock(*channel_); }
  [[nodiscard]] bool try_locked(finish_list& after) noexcept {
    return channel_access::state(*channel_).receive(item_, after) != attempt::must_wait;
  }
  void enlist(waiter& w) noexcept {
    entry_.owner = &w;
    entry_.closed = false;
    entry_.to = &item_;
    channel_access::state(*channel_).enlist_receiver(entry_);
  }
  void delist() noexcept {
    const std::lock_guard guard(*lock());
    channel_access::state(*channel_).delist_receiver(entry_);
  }
  [[nodiscard]] const wait_entry* entry() const noexcept { return &entry_; }
  [[nodiscard]] unsigned patience() const noexcept { return channel_access::state(*channel_).patience(); }
  [[nodiscard]] const context* ctx() const noexcept { return nullptr; }
  [[nodiscard]] std::optional<T> outcome() noexcept { return std::exchange(item_, std::nullopt); }

 private:
  channel<T>* channel_;
  std::optional<T> item_;
  channel_entry<T> entry_;
};

/// A send as a case of a select, or as a wait of its own.
template <class T>
class sending {
 public:
  sending(channel<T>& to, T& item) noexcept : channel_(&to), item_(std::addressof(item)) {}
  sending(channel<T>& to, T&& item) noexcept : channel_(&to), own_(std::move(item)) {}
  sending(sending&& other) noexcept
      : channel_(other.channel_),
        item_(other.item_),
        own_(std::move(other.own_)) {}

  [[nodiscard]] bool may_happen() const noexcept { return channel_access::state(*channel_).can_send(); }
  [[nodiscard]] bool try_now() noexcept {
    if (!may_happen()) return false;
    finish_list after;
    lock()->lock(patience());
    const std::lock_guard guard(*lock(), std::adopt_lock);
    return try_locked(after);
  }
  [[nodiscard]] spin_lock* lock() noexcept { return &channel_access::lock(*channel_); }
  [[nodiscard]] bool try_locked(finish_list& after) noexcept {
    T* const what = item();
    if (what == nullptr) return false;
    const attempt got = channel_access::state(*channel_).send(*what, after);
    entry_.closed = got == attempt::closed;
    return got != attempt::must_wait;
  }
  void enlist(waiter& w) noexcept {
    entry_.owner = &w;
    entry_.closed = false;
    entry_.from = item();
    if (entry_.from != nullptr) channel_access::state(*channel_).enlist_sender(entry_);
  }
  void delist() noexcept {
    const std::lock_guard guard(*lock());
    channel_access::state(*channel_).delist_sender(entry_);
  }
  [[nodiscard]] const wait_entry* entry() const noexcept { return &entry_; }
  [[nodiscard]] unsigned patience() const noexcept { return channel_access::state(*channel_).patience(); }
  [[nodiscard]] const context* ctx() const noexcept { return nullptr; }
  [[nodiscard]] result<> outcome() {
    if (entry_.closed) return closed_channel("send");
    own_.reset();  // it has been moved from
    return {};
  }

 private:
  /// Null: it has been sent.
  [[nodiscard]] T* item() noexcept {
    if (item_ != nullptr) return item_;
    return own_ ? std::addressof(*own_) : nullptr;
  }

  channel<T>* channel_;
  T* item_ = nullptr;     // somebody else's
  std::optional<T> own_;  // or this
  channel_entry<T> entry_;
};

}  // namespace detail

template <class T>
result<> channel<T>::send(const context& ctx, T&& item) {
  if (ctx.err()) return detail::ended_channel(ctx, "send");
  alignas(64) detail::sending<T> wait(*this, item);  // in no line that the thread looks at while it waits
  if (!detail::wait_for_one(ctx, wait)) return detail::ended_channel(ctx, "send");
  return wait.outcome();
}

template <class T>
result<> channel<T>::try_send(T&& item) {
  detail::sending<T> wait(*this, item);
  if (!wait.try_now()) return detail::full_channel("send");
  return wait.outcome();
}

template <class T>
result<std::optional<T>> channel<T>::receive(const context& ctx) {
  if (ctx.err()) return detail::ended_channel(ctx, "receive");
  alignas(64) detail::receiving<T> wait(*this);  // as above
  if (!detail::wait_for_one(ctx, wait)) return detail::ended_channel(ctx, "receive");
  return wait.outcome();
}

template <class T>
result<std::optional<T>> channel<T>::try_receive() {
  detail::receiving<T> wait(*this);
  if (!wait.try_now()) return detail::full_channel("receive");
  return wait.outcome();
}

template <class T>
void channel<T>::close() noexcept {
  detail::finish_list after;
  const std::lock_guard guard(state_->lock);
  state_->close(after);
}

template <class T>
bool channel<T>::closed() const noexcept {
  const std::lock_guard guard(state_->lock);
  return state_->closed();
}

template <class T>
std::size_t channel<T>::size() const noexcept {
  const std::lock_guard guard(state_->lock);
  return state_->size();
}

}  // namespace curfew
