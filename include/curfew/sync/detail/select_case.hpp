#pragma once

#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <span>
#include <type_traits>
#include <utility>

namespace curfew::detail {

/// One case of a select. What is waited for (a channel's receivers, the end of a context, …) is a `Thing`:
///
///   bool may_happen()         may be left out: false if it cannot happen now, as far as is seen without the lock
///   bool try_now()            it happens now, if it can without waiting
///   spin_lock* lock()         what guards its list; null: it has none, enlist and delist take care themselves
///   bool try_locked(after)    as try_now, with the lock held; who is to be woken goes into `after`
///   void enlist(waiter&)      with the lock held: from now on it may finish the waiter, by its entry()
///   void delist()             without the lock: it no longer may
///   const wait_entry* entry()
///   const context* ctx()      on whose clock it waits; null if it has none
///   auto outcome()            what the handler gets, once it has happened
class select_case {
 public:
  select_case() = default;
  select_case(const select_case&) = delete;
  select_case& operator=(const select_case&) = delete;
  virtual ~select_case() = default;

  [[nodiscard]] virtual bool may_happen() = 0;
  [[nodiscard]] virtual bool try_now() = 0;
  [[nodiscard]] virtual spin_lock* lock() noexcept = 0;
  [[nodiscard]] virtual bool try_locked(finish_list& after) noexcept = 0;
  virtual void enlist(waiter& w) = 0;
  virtual void delist() noexcept = 0;
  [[nodiscard]] virtual const wait_entry* entry() const noexcept = 0;
  [[nodiscard]] virtual const context* ctx() const noexcept = 0;
  /// Calls the handler.
  virtual void run() = 0;
};

template <class Thing, class F>
class select_case_of final : public select_case {
 public:
  select_case_of(Thing&& thing, F&& f) : thing_(std::move(thing)), f_(std::move(f)) {}

  bool may_happen() override {
    if constexpr (requires { thing_.may_happen(); }) {
      return thing_.may_happen();
    } else {
      return true;
    }
  }
  bool try_now() override { return thing_.try_now(); }
  spin_lock* lock() noexcept override { return thing_.lock(); }
  bool try_locked(finish_list& after) noexcept override { return thing_.try_locked(after); }
  void enlist(waiter& w) override { thing_.enlist(w); }
  void delist() noexcept override { thing_.delist(); }
  [[nodiscard]] const wait_entry* entry() const noexcept override { return thing_.entry(); }
  [[nodiscard]] const context* ctx() const noexcept override { return thing_.ctx(); }
  void run() override {
    using outcome = decltype(thing_.outcome());
    if constexpr (std::is_void_v<outcome>) {
      f_();
    } else if constexpr (std::is_invocable_v<F&, outcome>) {
      f_(thing_.outcome());
    } else {
      static_assert(std::is_invocable_v<F&>,
                    "curfew::when: the handler takes what the case gives (receiving: std::optional<T>; "
                    "sending: curfew::result<>; done(): std::error_code), or nothing");
      static_cast<void>(thing_.outcome());  // what it does not take must not stay here
      f_();
    }
  }

 private:
  Thing thing_;
  F f_;
};

inline constexpr std::size_t no_case = static_cast<std::size_t>(-1);

/// Lets one of the cases happen; does not run its handler.
/// \return which; no_case if there is none that can happen at once.
std::size_t select_now(std::span<select_case* const> cases);

/// As above, but waits.
std::size_t select_waiting(std::span<select_case* const> cases);

/// The same in two halves. The first lets one of the cases happen, or puts the waiter into the lists of all.
/// \return which has happened; no_case: one will, and then finishes the waiter.
/// Throws: what enlisting throws; the waiter is in no list then.
std::size_t select_enlist(std::span<select_case* const> cases, waiter& w);
/// The second half.
/// \param by  What the waiter was finished by.
/// \return which has happened. The waiter is in no list any more.
std::size_t select_delist(std::span<select_case* const> cases, const wait_entry* by) noexcept;

}  // namespace curfew::detail
