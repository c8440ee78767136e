#pragma once

#include <curfew/core/detail/threads.hpp>

namespace curfew::detail {

/// The links of an element of an intrusive_list. An element that can be in several lists at once has a hook for
/// each, told apart by Tag.
template <class Tag = void>
struct list_hook {
  threads::plain<list_hook*> next = nullptr;  // null: in no list
  threads::plain<list_hook*> prev = nullptr;

  list_hook() = default;
  list_hook(const list_hook&) = delete;
  list_hook& operator=(const list_hook&) = delete;

  [[nodiscard]] bool is_linked() const noexcept { return next != nullptr; }

 protected:
  ~list_hook() = default;
};

/// A circular list of elements that carry their own links: T derives from list_hook<Tag>, and may be incomplete
/// until a function is called. Owns nothing and allocates nothing; each function but `for_each` takes constant time.
///
///     first ──► e ──► e ──► last ─┐      first->prev is the last
///       ▲                         │
///       └─────────────────────────┘
///
/// Not synchronized: the same lock guards the list and the links of its elements.
template <class T, class Tag = void>
class intrusive_list {
 public:
  using hook = list_hook<Tag>;

  constexpr intrusive_list() noexcept = default;
  intrusive_list(const intrusive_list&) = delete;
  intrusive_list& operator=(const intrusive_list&) = delete;

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  /// Null if it is empty.
  [[nodiscard]] T* front() const noexcept { return element(first_); }

  /// \param e  In no list of this Tag.
  void push_back(T& e) noexcept {
    hook* const added = &e;
    hook* const first = first_;
    if (first == nullptr) {
      added->next = added;
      added->prev = added;
      first_ = added;
      return;
    }
    hook* const last = first->prev;
    added->next = first;
    added->prev = last;
    first->prev = added;
    last->next = added;
  }

  /// \param e  In this list, or in none.
  /// \return whether it was in the list.
  bool remove(T& e) noexcept {
    hook* const removed = &e;
    hook* const next = removed->next;
    if (next == nullptr) return false;
    if (next == removed) {
      first_ = nullptr;
    } else {
      hook* const prev = removed->prev;
      if (first_ == removed) first_ = next;
      next->prev = prev;
      prev->next = next;
    }
    removed->next = nullptr;
    removed->prev = nullptr;
    return true;
  }

  /// Removes the first; null if there is none.
  T* pop_front() noexcept {
    T* const e = front();
    if (e != nullptr) remove(*e);
    return e;
  }

  /// Moves all elements of `other` behind those of this list.
  void splice_back(intrusive_list& other) noexcept {
    hook* const added = other.first_;
    if (added == nullptr) return;
    other.first_ = nullptr;
    hook* const first = first_;
    if (first == nullptr) {
      first_ = added;
      return;
    }
    hook* const last = first->prev;
    hook* const added_last = added->prev;
    last->next = added;
    added->prev = last;
    added_last->next = first;
    first->prev = added_last;
  }

  /// Calls `f(e)` for each element, from the first to the last; `f` changes neither the list nor the links.
  template <class F>
  void for_each(F f) const {
    hook* const first = first_;
    if (first == nullptr) return;
    hook* at = first;
    do {
      f(*element(at));
      at = at->next;
    } while (at != first);
  }

 private:
  static T* element(hook* at) noexcept { return static_cast<T*>(at); }

  threads::plain<hook*> first_ = nullptr;
};

}  // namespace curfew::detail
