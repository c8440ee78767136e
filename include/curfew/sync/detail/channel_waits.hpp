#pragma once

// A receive and a send as waitables: each is a case of a select, or a wait of its own.

#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/channel_state.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace curfew::detail {

[[nodiscard]] std::unexpected<error> closed_channel(const char* doing);
[[nodiscard]] std::unexpected<error> full_channel(const char* doing);

/// What the two have in common.
template <class T>
class channel_wait {
 public:
  [[nodiscard]] spin_lock* lock() noexcept { return &at_->lock; }
  [[nodiscard]] unsigned spin_pauses() const noexcept { return at_->spin_pauses(); }
  [[nodiscard]] const wait_entry* entry() const noexcept { return &entry_; }
  [[nodiscard]] const context* ctx() const noexcept { return nullptr; }

 protected:
  explicit channel_wait(channel_state<T>& at) noexcept : at_(&at) {}
  channel_wait(channel_wait&& other) noexcept : at_(other.at_) {}
  ~channel_wait() = default;

  [[nodiscard]] channel_state<T>& at() const noexcept { return *at_; }

  channel_entry<T> entry_;

 private:
  channel_state<T>* at_;
};

template <class T>
class receiving : public channel_wait<T> {
 public:
  explicit receiving(channel_state<T>& from) noexcept : channel_wait<T>(from) {}
  receiving(receiving&& other) noexcept : channel_wait<T>(std::move(other)) {}

  [[nodiscard]] bool may_happen() const noexcept { return this->at().can_receive(); }
  [[nodiscard]] bool try_now() noexcept {
    if (!may_happen()) return false;
    finish_list after;
    this->at().lock.lock(this->spin_pauses());
    const std::lock_guard guard(this->at().lock, std::adopt_lock);
    return try_locked(after);
  }
  [[nodiscard]] bool try_locked(finish_list& after) noexcept {
    return this->at().receive(item_, after) != attempt::must_wait;
  }
  void enlist(waiter& w) noexcept {
    this->entry_.owner = &w;
    this->entry_.closed = false;
    this->entry_.to = &item_;
    this->at().enlist_receiver(this->entry_);
  }
  void delist() noexcept {
    const std::lock_guard guard(this->at().lock);
    this->at().delist_receiver(this->entry_);
  }
  [[nodiscard]] std::optional<T> outcome() noexcept { return std::exchange(item_, std::nullopt); }

 private:
  std::optional<T> item_;
};

template <class T>
class sending : public channel_wait<T> {
 public:
  sending(channel_state<T>& to, T& item) noexcept : channel_wait<T>(to), item_(std::addressof(item)) {}
  sending(channel_state<T>& to, T&& item) noexcept : channel_wait<T>(to), own_(std::move(item)) {}
  sending(sending&& other) noexcept
      : channel_wait<T>(std::move(other)),
        item_(other.item_),             // NOLINT(bugprone-use-after-move): only the base
        own_(std::move(other.own_)) {}  // NOLINT(bugprone-use-after-move): has been moved from

  [[nodiscard]] bool may_happen() const noexcept { return this->at().can_send(); }
  [[nodiscard]] bool try_now() noexcept {
    if (!may_happen()) return false;
    finish_list after;
    this->at().lock.lock(this->spin_pauses());
    const std::lock_guard guard(this->at().lock, std::adopt_lock);
    return try_locked(after);
  }
  [[nodiscard]] bool try_locked(finish_list& after) noexcept {
    T* const what = item();
    if (what == nullptr) return false;
    const attempt got = this->at().send(*what, after);
    this->entry_.closed = got == attempt::closed;
    return got != attempt::must_wait;
  }
  void enlist(waiter& w) noexcept {
    this->entry_.owner = &w;
    this->entry_.closed = false;
    this->entry_.from = item();
    if (this->entry_.from != nullptr) this->at().enlist_sender(this->entry_);
  }
  void delist() noexcept {
    const std::lock_guard guard(this->at().lock);
    this->at().delist_sender(this->entry_);
  }
  [[nodiscard]] result<> outcome() {
    if (this->entry_.closed) return closed_channel("send");
    own_.reset();  // it has been moved from
    return {};
  }

 private:
  /// Null: it has been sent.
  [[nodiscard]] T* item() noexcept {
    if (item_ != nullptr) return item_;
    return own_ ? std::addressof(*own_) : nullptr;
  }

  T* item_ = nullptr;     // the caller's
  std::optional<T> own_;  // or this
};

}  // namespace curfew::detail
