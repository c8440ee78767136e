#pragma once

#include <curfew/core/context.hpp>

namespace curfew {

/// Sees every context come, end and go: for inspection, tracing and tests. It never steers: it must
/// neither block, nor throw, nor derive or end contexts.
///
/// The functions are called in the thread that does what they tell, with no lock of the library held.
/// Thread safety: they are called from any number of threads at once.
/// Cost: none set, a branch at each derivation and end; set, a call for each.
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

/// Sets the observer of the process; null for none.
/// \return the one before. It may still be called by threads that are in the library at that moment: let
///         it live until they are gone.
observer* set_observer(observer* next) noexcept;

}  // namespace curfew
