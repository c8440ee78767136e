#pragma once

// What a channel holds.
//
// Invariants, while its lock is free
//  1. A wait is in `receivers_` only while the ring is empty, and in `senders_` only while it is full. (An entry
//     whose waiter was claimed elsewhere may be in either; it does not count.)
//  2. Items leave in the order in which they came: a sender that waited has its item put into the ring by
//     the receiver that made room.
//  3. can_receive_ is false only if a receive would have to wait, and can_send_ only if a send would. A thread that
//     reads them without the lock sees them no older than what happened before.

#include <algorithm>
#include <cstddef>
#include <curfew/core/detail/threads.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <memory>
#include <optional>
#include <utility>

namespace curfew::detail {

/// A wait at a channel. The other side fills it, once it has claimed the waiter.
template <class T>
struct channel_entry : wait_entry {
  T* from = nullptr;                    // of a sender: is moved from
  std::optional<T>* to = nullptr;       // of a receiver: is filled
  threads::plain<bool> closed = false;  // it was close() that claimed it
};

/// What happened to an attempt.
enum class attempt : unsigned char { happened, closed, must_wait };

/// Its caller holds its lock, where nothing else is said. All of it is in one cache line.
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
  /// For how many pauses of the processor a thread spins before it looks again, so that the other side gets on by
  /// several items before the cache lines have to move: about the time of half of the items.
  [[nodiscard]] unsigned spin_pauses() const noexcept {
    return static_cast<unsigned>(std::min<std::size_t>(capacity_ / 2, 32));
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool is_closed() const noexcept { return closed_; }

  [[nodiscard]] const wait_list& senders() const noexcept { return senders_; }
  [[nodiscard]] const wait_list& receivers() const noexcept { return receivers_; }

  /// False: at this moment it would have to wait. Needs no lock.
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

}  // namespace curfew::detail
