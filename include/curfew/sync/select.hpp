#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/sync/detail/select_case.hpp>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew {

namespace detail {

/// The end of a context, as a waitable.
class ending {
 public:
  explicit ending(context ctx) noexcept : ctx_(std::move(ctx)) {}
  ending(ending&& other) noexcept : ctx_(std::move(other.ctx_)) {}

  [[nodiscard]] bool may_happen() const noexcept { return has_ended(); }
  [[nodiscard]] bool try_now() const noexcept { return has_ended(); }
  [[nodiscard]] bool has_ended() const noexcept { return static_cast<bool>(ctx_.err()); }
  [[nodiscard]] spin_lock* lock() const noexcept { return nullptr; }
  [[nodiscard]] bool try_locked(finish_list& /*after*/) const noexcept { return try_now(); }
  void enlist(waiter& w) noexcept {
    entry_.owner = &w;
    registered_.emplace(ctx_, fire{&entry_});
  }
  void delist() noexcept { registered_.reset(); }
  [[nodiscard]] const wait_entry* entry() const noexcept { return &entry_; }
  [[nodiscard]] const context* ctx() const noexcept { return &ctx_; }
  [[nodiscard]] std::error_code outcome() const noexcept { return ctx_.err(); }

 private:
  struct fire {
    wait_entry* entry;
    void operator()() const noexcept {
      if (entry->owner->claim()) entry->owner->finish(entry);
    }
  };
  struct plain_entry final : wait_entry {};

  context ctx_;
  plain_entry entry_;
  std::optional<on_done<fire>> registered_;
};

/// A point in time, as a waitable.
class instant {
 public:
  instant(context root, clock::time_point at) noexcept : root_(std::move(root)), at_(at) {}
  instant(instant&& other) noexcept : root_(std::move(other.root_)), at_(other.at_) {}

  [[nodiscard]] bool try_now() const noexcept { return root_.now() >= at_; }
  [[nodiscard]] spin_lock* lock() const noexcept { return nullptr; }
  [[nodiscard]] bool try_locked(finish_list& /*after*/) const noexcept { return try_now(); }
  void enlist(waiter& w) {
    entry_.owner = &w;
    scope_.emplace(with_deadline(root_, at_));
    registered_.emplace(*scope_, fire{&entry_});
  }
  void delist() noexcept {
    registered_.reset();
    scope_.reset();
  }
  [[nodiscard]] const wait_entry* entry() const noexcept { return &entry_; }
  [[nodiscard]] const context* ctx() const noexcept { return scope_ ? &scope_->ctx() : &root_; }
  void outcome() const noexcept {}

 private:
  struct fire {
    wait_entry* entry;
    void operator()() const noexcept {
      // A context that ended before does so by itself.
      if (!entry->owner->has_ended() && entry->owner->claim()) entry->owner->finish(entry);
    }
  };
  struct plain_entry final : wait_entry {};

  context root_;
  clock::time_point at_;
  plain_entry entry_;
  std::optional<cancel_scope> scope_;
  std::optional<on_done<fire>> registered_;
};

}  // namespace detail

/// A case for `select`: `d` has passed since this call, on the system's clock, or on that of `ctx`.
[[nodiscard]] detail::instant after(clock::duration d);
[[nodiscard]] detail::instant after(const context& ctx, clock::duration d);

/// A case of a `select`: what has to happen, and what is done then. See `select`.
///
/// \param what  `channel.receiving()`: the handler gets a std::optional<T>, none once closed and drained;
///              `channel.sending(item)`, `channel.sending_from(variable)`: a result<>, with errc::closed
///              where nothing was sent;
///              `ctx.done()`: the std::error_code; `semaphore.acquiring(n)`: a result<semaphore::permit>;
///              `mutex.locking()`: a std::unique_lock; `after(1s)`, `group.joining()`, `ticker.ticking()`:
///              nothing.
/// \param f     May leave its parameter out, but for a permit or a lock.
template <detail::waitable W, class F>
[[nodiscard]] auto when(W what, F f) {
  return detail::select_case_of<W, F>(std::move(what), std::move(f));
}
template <class F>
[[nodiscard]] auto when(done_signal done, F f) {
  return detail::select_case_of<detail::ending, F>(detail::ending(std::move(done).ctx()), std::move(f));
}

namespace detail {
template <class F>
struct otherwise_case {
  F f;
};
template <class Case>
inline constexpr bool is_otherwise = false;
template <class F>
inline constexpr bool is_otherwise<otherwise_case<F>> = true;
template <class Case>
inline constexpr bool is_case = std::derived_from<Case, select_case> || is_otherwise<Case>;
}  // namespace detail

/// What a `select` does where no case can happen at once, instead of waiting. Its last argument.
template <class F>
[[nodiscard]] detail::otherwise_case<F> otherwise(F f) {
  return {std::move(f)};
}

/// Waits until one of several cases can happen, lets it happen, and calls its handler:
///
///     using curfew::when;
///     curfew::select(
///         when(ctx.done(),         [&] { stop = true; }),
///         when(data.receiving(),   [&](std::optional<std::string> item) { … }),
///         when(results.sending(r), [&] { … }),
///         when(curfew::after(1s),  [&] { … }));
///
/// Exactly one case happens; the others leave no trace: nothing is taken, sent or registered by them. Where
/// several can happen at once one is chosen at random, each with the same chance; but units and locks are not
/// acquired where the context of a `done()` has ended before. A channel may stand in
/// several cases, on both sides; it does not receive from itself. The handler runs in this thread after all
/// is over, so it may do anything, another select included; what it throws comes out.
///
/// \return the place of the case that happened, from 0; that of `otherwise` where it was that.
/// Errors:         none of its own; without a case for the end of a context it waits for ever.
/// Throws:         what a handler throws. std::bad_alloc, std::system_error where `after` finds no memory or
///                 no timer thread; nothing has happened then.
/// Lifetime:       channels, groups and items that the cases name live until it returns.
/// Thread safety:  any thread.     Cost: no allocation for up to 64 cases, but by `after`.
/// Source:         Go's select.
template <class... Cases>
std::size_t select(Cases&&... cases) {
  static_assert(sizeof...(Cases) > 0, "curfew::select: give it at least one case");
  static_assert((detail::is_case<std::remove_cvref_t<Cases>> && ...),
                "curfew::select: each argument is a case, when(what, handler), or otherwise(handler); a "
                "case_list is given alone, as a variable");
  constexpr std::size_t last = sizeof...(Cases) - 1;
  constexpr std::array<bool, sizeof...(Cases)> is_otherwise{
      detail::is_otherwise<std::remove_cvref_t<Cases>>...};
  static_assert(
      [&] {
        for (std::size_t i = 0; i != last; ++i) {
          if (is_otherwise[i]) return false;
        }
        return true;
      }(),
      "curfew::select: `otherwise` is the last argument, and there is only one");
  std::array<detail::select_case*, sizeof...(Cases)> all{};
  std::size_t count = 0;
  const auto add = [&](auto& each) {
    if constexpr (std::derived_from<std::remove_cvref_t<decltype(each)>, detail::select_case>)
      all[count++] = &each;
  };
  (add(cases), ...);
  const std::span<detail::select_case* const> waited(all.data(), count);
  if constexpr (is_otherwise[last]) {
    const std::size_t which = detail::select_now(waited);
    if (which == detail::no_case) {
      const auto act = [](auto& each) {
        if constexpr (detail::is_otherwise<std::remove_cvref_t<decltype(each)>>) each.f();
      };
      (act(cases), ...);
      return last;
    }
    all[which]->run();
    return which;
  } else {
    const std::size_t which = detail::select_waiting(waited);
    all[which]->run();
    return which;
  }
}

namespace detail {
struct case_list_access;
}

/// Cases whose number is known only at run time:
///
///     curfew::case_list cases;
///     for (auto& each : channels) cases.when(each.receiving(), [&](auto item) { … });
///     curfew::select(cases);
///
/// May be selected from again and again. Not copied; one thread at a time.
class case_list {
 public:
  case_list() = default;
  case_list(case_list&&) noexcept = default;
  case_list& operator=(case_list&&) noexcept = default;
  ~case_list() = default;

  /// Adds a case, as `curfew::when` makes one. Its place is the number of those before it.
  template <detail::waitable W, class F>
  case_list& when(W what, F f) {
    return add(std::make_unique<detail::select_case_of<W, F>>(std::move(what), std::move(f)));
  }
  template <class F>
  case_list& when(done_signal done, F f) {
    return when(detail::ending(std::move(done).ctx()), std::move(f));
  }

  [[nodiscard]] std::size_t size() const noexcept { return cases_.size(); }

 private:
  friend struct detail::case_list_access;

  case_list& add(std::unique_ptr<detail::select_case> made) {
    if (cases_.size() == cases_.capacity()) cases_.reserve(cases_.empty() ? 8 : 2 * cases_.size());
    owned_.push_back(std::move(made));
    cases_.push_back(owned_.back().get());  // has room: nothing can throw any more
    return *this;
  }

  std::vector<std::unique_ptr<detail::select_case>> owned_;
  std::vector<detail::select_case*> cases_;
};

namespace detail {

struct case_list_access {
  static std::span<select_case* const> all(case_list& cases) noexcept { return cases.cases_; }
  /// Throws std::invalid_argument if it is empty.
  static std::span<select_case* const> some(case_list& cases);
};

}  // namespace detail

/// As `select` of the cases one by one; at least one, else std::invalid_argument.
std::size_t select(case_list& cases);
/// Does not wait: none if no case can happen at once.
std::optional<std::size_t> try_select(case_list& cases);

}  // namespace curfew
