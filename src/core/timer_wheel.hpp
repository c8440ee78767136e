#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "core/byte_lock.hpp"
#include "core/tree.hpp"

namespace curfew::detail {

/// Pending deadlines, by tick: a hierarchical timing wheel (Varghese and Lauck, 1987). Insert and remove
/// are O(1) and allocate nothing; a timer is moved at most once per level before it is due. The levels
/// cover every tick of 64 bits, so there is no overflow list.
///
/// Level l has 64 slots of 64^l ticks each. A timer is at the level of the highest base-64 digit in which
/// its tick differs from the present one, in the slot of that digit. Hence all timers of a lower
/// level are due before all those of a higher one, and within a level the slots are in order.
///
/// Not synchronized: the shard's lock guards it.
class timer_wheel {
 public:
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

  /// \param tick_bits  A tick is 2^tick_bits ns.
  explicit timer_wheel(unsigned tick_bits) noexcept : tick_bits_(tick_bits) {}

  [[nodiscard]] std::uint64_t present() const noexcept { return present_; }

  [[nodiscard]] std::uint64_t tick_before(nanoseconds t) const noexcept {
    return static_cast<std::uint64_t>(t) >> tick_bits_;
  }
  [[nodiscard]] std::uint64_t tick_after(nanoseconds t) const noexcept {
    return tick_before(t) + ((static_cast<std::uint64_t>(t) & ((std::uint64_t{1} << tick_bits_) - 1)) != 0);
  }

  /// Inserts `n`, due at the first tick that is not before its deadline.
  void insert(deadline_node* n) noexcept {
    const std::uint64_t tick = tick_after(n->deadline);
    if (tick <= present_) {
      due_.push_back(*n);
      return;
    }
    const place at = place_of(tick);
    levels_[at.level].slots[at.slot].push_back(*n);
    levels_[at.level].occupied |= std::uint64_t{1} << at.slot;
  }

  /// Whether `n` is in its wheel.
  [[nodiscard]] static bool holds(const deadline_node* n) noexcept {
    return static_cast<const list_hook<timers>*>(n)->is_linked();
  }

  /// Removes `n`, which is in the wheel.
  void remove(deadline_node* n) noexcept {
    const std::uint64_t tick = tick_after(n->deadline);
    if (tick <= present_) {
      due_.remove(*n);
      return;
    }
    const place at = place_of(tick);
    list& slot = levels_[at.level].slots[at.slot];
    slot.remove(*n);
    if (slot.empty()) levels_[at.level].occupied &= ~(std::uint64_t{1} << at.slot);
  }

  /// The next tick at which there is something to do; `never` if the wheel is empty. Timers of higher levels
  /// count from the start of their slot, when they move down.
  [[nodiscard]] std::uint64_t next() const noexcept {
    if (!due_.empty()) return present_;
    for (unsigned l = 0; l < level_count; ++l) {
      if (levels_[l].occupied != 0) return slot_start(l, lowest(levels_[l].occupied));
    }
    return never;
  }

  /// The tick of the timer that is due first; `never` if the wheel is empty. Looks at each timer of its slot.
  [[nodiscard]] std::uint64_t earliest() const noexcept {
    if (!due_.empty()) return present_;
    for (const level& l : levels_) {
      if (l.occupied == 0) continue;
      std::uint64_t tick = never;
      l.slots[lowest(l.occupied)].for_each(
          [&](const deadline_node& n) { tick = std::min(tick, tick_after(n.deadline)); });
      return tick;
    }
    return never;
  }

  /// Moves the present on, at most to `to`, as far as the next timer that is due.
  /// \return that timer, removed; null once there is none up to `to`.
  deadline_node* pop(std::uint64_t to) noexcept {
    for (;;) {
      if (deadline_node* n = due_.pop_front(); n != nullptr) return n;
      const std::uint64_t at = next();
      if (at > to || at == never) {  // `never`: the last tick that there is stays ahead
        if (present_ < to) present_ = to;
        return nullptr;
      }
      open_slot(at);
    }
  }

 private:
  static constexpr unsigned digit_bits = 6;
  static constexpr unsigned level_count = 11;  // 11 * 6 >= 64

  struct place {
    unsigned level;
    unsigned slot;
  };

  using list = intrusive_list<deadline_node, timers>;

  struct level {
    std::uint64_t occupied = 0;  // a bit for each slot that is not empty
    std::array<list, 64> slots{};
  };

  static unsigned lowest(std::uint64_t bits) noexcept { return static_cast<unsigned>(__builtin_ctzll(bits)); }

  [[nodiscard]] place place_of(std::uint64_t tick) const noexcept {
    const unsigned highest_bit = 63U - static_cast<unsigned>(__builtin_clzll(tick ^ present_));
    const unsigned l = highest_bit / digit_bits;
    return {l, static_cast<unsigned>(tick >> (l * digit_bits)) & 63U};
  }

  [[nodiscard]] std::uint64_t slot_start(unsigned l, unsigned slot) const noexcept {
    const unsigned shift = l * digit_bits;
    const unsigned above = shift + digit_bits;
    const std::uint64_t kept = above >= 64 ? 0 : (present_ >> above) << above;
    return kept | (std::uint64_t{slot} << shift);
  }

  /// Makes `at`, the value of next(), the present; its timers become due or move to lower levels.
  void open_slot(std::uint64_t at) noexcept {
    level* l = levels_.data();
    while (l->occupied == 0) ++l;
    const unsigned slot = lowest(l->occupied);
    list opened;
    opened.splice_back(l->slots[slot]);
    l->occupied &= l->occupied - 1;
    present_ = at;
    while (deadline_node* n = opened.pop_front()) insert(n);
  }

  const unsigned tick_bits_;
  std::uint64_t present_ = 0;
  list due_;
  std::array<level, level_count> levels_{};
};

/// Some of the timers of one clock, and their lock.
struct alignas(64) timer_shard {
  clock_source* const source;
  alignas(64) threads::atomic<std::uint8_t> lock{0};
  // Guarded by lock: the clock looks again by then by itself.
  threads::plain<std::uint64_t> wake_at = timer_wheel::never;
  timer_wheel wheel;  // guarded by lock

  timer_shard(clock_source& of, unsigned tick_bits) noexcept : source(&of), wheel(tick_bits) {}
};

inline clock_source& clock_of(const ender_node* n) noexcept { return *n->time->shard->source; }

/// Puts `n` into the wheel of its shard, unless it has ended. The end of a node marks it before it disarms the
/// timer: so either arm sees the end, or disarm finds the timer, and none stays behind.
/// \param earlier  Set if the clock has to look sooner than it would.
/// \return whether it is armed.
inline bool arm(deadline_node* n, bool& earlier) noexcept {
  timer_shard& shard = *n->shard;
  const byte_lock guard(shard.lock);
  if (code_of(n) != live) return false;
  shard.wheel.insert(n);
  const std::uint64_t tick = shard.wheel.tick_after(n->deadline);
  earlier = tick < shard.wake_at;
  if (earlier) shard.wake_at = tick;
  return true;
}

/// \return whether it was armed and no longer is.
inline bool disarm(deadline_node* n) noexcept {
  timer_shard& shard = *n->shard;
  const byte_lock guard(shard.lock);
  if (!timer_wheel::holds(n)) return false;
  shard.wheel.remove(n);
  return true;
}

}  // namespace curfew::detail
