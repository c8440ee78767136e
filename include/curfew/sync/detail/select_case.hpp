#pragma once

#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waitable.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <span>
#include <type_traits>
#include <utility>

namespace curfew::detail {

/// One case of a select: a waitable, and a handler.
class select_case {
 public:
  /// \param undoes  It has undo().
  explicit select_case(bool undoes) noexcept : undoes_(undoes) {}
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
  [[nodiscard]] virtual bool has_ended() const noexcept = 0;
  virtual void undo() noexcept = 0;
  [[nodiscard]] bool undoes() const noexcept { return undoes_; }
  /// Calls the handler.
  virtual void run() = 0;

 private:
  const bool undoes_;
};

/// Whether one of the cases is the end of a context that has ended.
[[nodiscard]] bool any_has_ended(std::span<select_case* const> cases) noexcept;

template <waitable W, class F>
class select_case_of final : public select_case {
 public:
  select_case_of(W&& what, F&& f) : select_case(can_undo<W>), what_(std::move(what)), f_(std::move(f)) {}

  bool may_happen() override {
    if constexpr (requires { what_.may_happen(); }) {
      return what_.may_happen();
    } else {
      return true;
    }
  }
  bool try_now() override { return what_.try_now(); }
  spin_lock* lock() noexcept override { return what_.lock(); }
  bool try_locked(finish_list& after) noexcept override { return what_.try_locked(after); }
  void enlist(waiter& w) override { what_.enlist(w); }
  void delist() noexcept override { what_.delist(); }
  [[nodiscard]] const wait_entry* entry() const noexcept override { return what_.entry(); }
  [[nodiscard]] const context* ctx() const noexcept override { return what_.ctx(); }
  [[nodiscard]] bool has_ended() const noexcept override {
    if constexpr (requires { what_.has_ended(); }) {
      return what_.has_ended();
    } else {
      return false;
    }
  }
  void undo() noexcept override {
    if constexpr (can_undo<W>) what_.undo();
  }
  void run() override {
    using outcome = decltype(what_.outcome());
    if constexpr (std::is_void_v<outcome>) {
      f_();
    } else if constexpr (std::is_invocable_v<F&, outcome>) {
      f_(what_.outcome());
    } else {
      static_assert(!holds_outcome<W>,
                    "curfew::when: the handler takes what the case acquires (acquiring: "
                    "curfew::result<curfew::semaphore::permit>; locking: std::unique_lock), or it would be "
                    "given back at once");
      static_assert(std::is_invocable_v<F&>,
                    "curfew::when: the handler takes what the case gives (receiving: std::optional<T>; "
                    "sending: curfew::result<>; done(): std::error_code), or nothing");
      static_cast<void>(what_.outcome());  // what it does not take must not stay here
      f_();
    }
  }

 private:
  W what_;
  F f_;
};

inline constexpr std::size_t no_case = static_cast<std::size_t>(-1);

/// The root of the manual clock that one of the cases waits on; background() if there is none.
[[nodiscard]] context clock_of_cases(std::span<select_case* const> cases) noexcept;

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
