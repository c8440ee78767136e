#include <algorithm>
#include <array>
#include <cstdint>
#include <curfew/sync/detail/select_case.hpp>
#include <curfew/sync/select.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

// Locks. A select that has to wait holds the locks of all its waitables at once, in the order of their
// addresses, while it looks a last time and puts its entries into their lists. No other thread holds more than
// one, so there is no deadlock. Why all at once: the thread that completes another's wait is then never itself in
// a list, so one claim decides. With two half-registered selects that meet at two channels, each would have to
// claim both.

namespace curfew::detail {

namespace {

/// Memory for one T for each case, on the stack while they are few.
template <class T>
class per_case {
 public:
  explicit per_case(std::size_t count) {
    if (count > few_.size()) many_ = std::make_unique<T[]>(count);
    all_ = std::span(many_ ? many_.get() : few_.data(), count);
  }
  per_case(const per_case&) = delete;
  per_case& operator=(const per_case&) = delete;

  std::span<T> operator*() noexcept { return all_; }

 private:
  std::array<T, 64> few_;
  std::unique_ptr<T[]> many_;
  std::span<T> all_;
};

std::size_t ended_one(std::span<select_case* const> cases) noexcept {
  for (std::size_t i = 0; i != cases.size(); ++i) {
    if (cases[i]->has_ended()) return i;
  }
  return no_case;
}

/// What has happened can be undone, and gives way to the end of a context.
std::size_t unless_ended(std::span<select_case* const> cases, std::size_t happened) noexcept {
  const std::size_t ended = ended_one(cases);
  if (ended == no_case) return happened;
  cases[happened]->undo();
  return ended;
}

/// The wait of a thread for one of several cases, of which those of the kind has_ended() end it.
class select_waiter final : public thread_waiter {
 public:
  /// \param clock_of  Never ends.
  explicit select_waiter(std::span<select_case* const> cases) noexcept
      : thread_waiter(background(), "select",
                      &has_ended_of),  // the end of a context is a case, so nothing else ends the wait
        cases_(cases) {}

 private:
  static bool has_ended_of(const waiter& self) noexcept {
    return any_has_ended(static_cast<const select_waiter&>(self).cases_);
  }

  std::span<select_case* const> cases_;
};

/// Asks those of the cases that may happen in a random order, each order with the same chance.
/// \param memory  For one number for each case.
/// \return the first that says yes; or the end of a context, where that has ended and the first can be undone.
template <class Ask>
std::size_t first_of(std::span<select_case* const> cases, std::span<std::uint32_t> memory, Ask ask) {
  std::uint32_t left = 0;
  for (std::uint32_t i = 0; i != cases.size(); ++i) {
    if (cases[i]->may_happen()) memory[left++] = i;
  }
  for (; left != 0; --left) {
    const std::uint32_t chosen = left == 1 ? 0 : threads::random_below(left);
    const std::uint32_t which = std::exchange(memory[chosen], memory[left - 1]);
    if (ask(*cases[which])) return cases[which]->undoes() ? unless_ended(cases, which) : which;
  }
  return no_case;
}

/// The locks of all cases, each once, held.
class all_locks {
 public:
  all_locks(std::span<select_case* const> cases, std::span<spin_lock*> memory) noexcept {
    std::size_t count = 0;
    for (select_case* each : cases) {
      if (spin_lock* lock = each->lock(); lock != nullptr) memory[count++] = lock;
    }
    held_ = memory.first(count);
    std::ranges::sort(held_, std::less<>());
    held_ = held_.first(static_cast<std::size_t>(std::ranges::unique(held_).begin() - held_.begin()));
    for (spin_lock* each : held_) each->lock();
  }
  all_locks(const all_locks&) = delete;
  all_locks& operator=(const all_locks&) = delete;
  ~all_locks() {
    for (spin_lock* each : held_) each->unlock();
  }

 private:
  std::span<spin_lock*> held_;
};

/// What the clock is told that the thread waits under, once the cases are enlisted: a deadline of a clock that does
/// not count before all others, since it may wake the thread by itself.
const context& sleeps_under(std::span<select_case* const> cases) noexcept {
  const context* chosen = &background();
  if (!any_clock_counts()) return *chosen;
  for (const select_case* each : cases) {
    const context* ctx = each->ctx();
    if (ctx == nullptr) continue;
    if (is_counted(*ctx)) {
      chosen = ctx;
    } else if (ctx->deadline()) {
      return *ctx;
    }
  }
  return *chosen;
}

}  // namespace

bool any_has_ended(std::span<select_case* const> cases) noexcept { return ended_one(cases) != no_case; }

context clock_of_cases(std::span<select_case* const> cases) noexcept {
  for (const select_case* each : cases) {
    if (const context* ctx = each->ctx(); ctx != nullptr && is_counted(*ctx)) return root_of(*ctx);
  }
  return background();
}

std::size_t select_now(std::span<select_case* const> cases) {
  per_case<std::uint32_t> order(cases.size());
  return first_of(cases, *order, [](select_case& each) { return each.try_now(); });
}

std::size_t select_enlist(std::span<select_case* const> cases, waiter& w) {
  per_case<std::uint32_t> order(cases.size());
  per_case<spin_lock*> locks(cases.size());
  {
    finish_list after;
    const all_locks held(cases, *locks);
    const std::size_t ready =
        first_of(cases, *order, [&](select_case& each) { return each.try_locked(after); });
    if (ready != no_case) return ready;
    for (select_case* each : cases) {
      if (each->lock() != nullptr) each->enlist(w);
    }
  }
  try {
    for (select_case* each : cases) {
      if (each->lock() == nullptr) each->enlist(w);
    }
  } catch (...) {
    if (w.claim()) {
      for (select_case* each : cases) each->delist();
      throw;
    }
    // One of those that are enlisted has happened meanwhile.
  }
  return no_case;
}

std::size_t select_delist(std::span<select_case* const> cases, const wait_entry* by) noexcept {
  std::size_t i = 0;
  while (cases[i]->entry() != by) ++i;
  for (select_case* each : cases) each->delist();
  return i;
}

std::size_t select_waiting(std::span<select_case* const> cases) {
  const std::size_t at_once = select_now(cases);
  if (at_once != no_case) return at_once;
  select_waiter w(cases);
  const std::size_t ready = select_enlist(cases, w);
  if (ready != no_case) return ready;
  return select_delist(cases, w.wait(sleeps_under(cases)));
}

}  // namespace curfew::detail

namespace curfew {

detail::instant after(const context& ctx, clock::duration d) {
  context root = detail::root_of(ctx);
  const auto now = root.now();
  const auto at = d > clock::time_point::max() - now ? clock::time_point::max() : now + d;
  return {std::move(root), at};
}

detail::instant after(clock::duration d) { return after(background(), d); }

std::span<detail::select_case* const> detail::case_list_access::some(case_list& cases) {
  if (cases.cases_.empty()) {
    throw std::invalid_argument(
        "curfew::select: the case_list is empty, so it would wait for ever; add a case");
  }
  return cases.cases_;
}

std::size_t select(case_list& cases) {
  const auto all = detail::case_list_access::some(cases);
  const std::size_t which = detail::select_waiting(all);
  all[which]->run();
  return which;
}

std::optional<std::size_t> try_select(case_list& cases) {
  const auto all = detail::case_list_access::all(cases);
  const std::size_t which = detail::select_now(all);
  if (which == detail::no_case) return std::nullopt;
  all[which]->run();
  return which;
}

}  // namespace curfew
