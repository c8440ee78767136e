#pragma once

#include <curfew/core/context.hpp>

namespace curfew {

/// Sees every context come, end and go: for inspection, tracing and tests. It never steers: it must
/// neither block, nor throw, nor derive or end contexts.
///
/// The functions are called in the thread that does what they tell, with no lock of the library held.
/// Thread safety: they are called from any number of threads at once.
/// Cost: with none, a load and a branch at each derivation and end; else two locked operations and a call for each.
class observer {
 public:
  observer() = default;
  observer(const observer&) = delete;
  observer& operator=(const observer&) = delete;
  virtual ~observer() = default;

  /// `made` has been derived and is about to be returned. If it was made below one that had ended, it has
  /// ended, too, and `ended` is not called for it. If another thread ends it at this moment, `ended` may come
  /// before `derived`.
  virtual void derived(const context& made) noexcept;
  /// `which`, which can end by itself and was live, has ended; its err and cause are set.
  virtual void ended(const context& which) noexcept;
  /// The last reference to a context is gone. \param id  The `context_id` it had.
  virtual void destroyed(const void* id) noexcept;
};

/// Tells a context from all others that live.
[[nodiscard]] const void* context_id(const context& ctx) noexcept;

namespace detail {
struct observer_slot;
}  // namespace detail

/// While it lives, an observer is told of all contexts of the process:
///
///     struct counter final : curfew::observer {
///       void derived(const curfew::context&) noexcept override { ++made; }
///       std::atomic<int> made{0};
///     };
///     counter seen;
///     const curfew::observation watch(seen);
///
/// Any number of observers may watch at the same time, one observer by several observations; they are told in no
/// particular order.
///
/// After its destructor has returned, none of the observer's functions runs because of it, and none will. The
/// destructor waits for those that run in other threads; it must not be called from inside one of them.
/// Thread safety: construct and destroy from any thread. Contexts that other threads derive or end at that moment
///                may go unseen.
class observation {
 public:
  /// \param told  Not copied; outlives this object. A class that watches for itself does it with its last member.
  /// Throws: std::bad_alloc.
  [[nodiscard("an observation that is not kept ends at once: name it")]] explicit observation(observer& told);
  observation(const observation&) = delete;
  observation& operator=(const observation&) = delete;
  ~observation();

 private:
  detail::observer_slot* const slot_;
};

}  // namespace curfew
