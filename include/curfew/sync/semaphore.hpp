#pragma once

#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/sync/detail/unit_queue.hpp>
#include <optional>
#include <utility>

namespace curfew {

namespace detail {
class acquiring;
}  // namespace detail

/// A number of units that are acquired and released, such as connections or megabytes:
///
///     curfew::semaphore memory(512);
///     auto mine = memory.acquire(ctx, 64);     // result<semaphore::permit>
///     if (!mine) return mine.error();          // ctx has ended; nothing is held
///     store(ctx, message);                     // 64 units are held until `mine` is gone
///
/// First come, first served: nothing overtakes a wait, neither one for fewer units, though there may be enough of
/// them, nor `try_acquire`. So a big request gets its turn.
///
/// What is canceled did not happen: an `acquire` that returns an error holds nothing, and the waits behind it that
/// now fit go on. A context that ended before the units were released acquires none. One that ends at the same
/// time either holds its units and returns no error, or the other way round.
///
/// The number may change: give it the largest as its capacity, and hold back what is not to be used, by the second
/// constructor, or by `acquire` and `permit::forget`; `release` adds to it.
///
/// Lifetime:       the thread that has acquired the last unit may destroy it, though others are still inside
///                 `release`; nothing may wait then.
/// Thread safety:  any thread; units may be released in another thread than they were acquired in.
/// Memory order:   what was done before a `release` happens before what is done after each acquire that
///                 follows it, so after the one that it allowed.
/// Cost:           one compare-exchange each while nothing waits. No allocation.
/// Source:         golang.org/x/sync/semaphore, which waits where more is asked for than there is; tokio's
///                 Semaphore and its permits.
class semaphore {
 public:
  /// Units that are held, and released by the destructor. Thread safety: one thread at a time.
  class [[nodiscard("a permit that is not kept releases its units at once: name it")]] permit {
   public:
    /// Holds nothing.
    permit() noexcept = default;
    permit(permit&& other) noexcept : of_(std::exchange(other.of_, nullptr)), units_(other.units_) {}
    permit& operator=(permit&& other) noexcept {
      permit(std::move(other)).swap(*this);
      return *this;
    }
    ~permit() { release(); }

    /// How many it holds.
    [[nodiscard]] std::size_t units() const noexcept { return of_ != nullptr ? units_ : 0; }
    /// Releases them now. Afterwards it holds nothing.
    void release() noexcept {
      if (detail::unit_queue* of = std::exchange(of_, nullptr); of != nullptr) of->put_back(units_);
    }
    /// The units stay acquired, until a `semaphore::release`. Afterwards it holds nothing.
    void forget() noexcept { of_ = nullptr; }

   private:
    friend class semaphore;
    friend class detail::acquiring;

    permit(detail::unit_queue& of, std::size_t units) noexcept : of_(&of), units_(units) {}
    void swap(permit& other) noexcept {
      std::swap(of_, other.of_);
      std::swap(units_, other.units_);
    }

    detail::unit_queue* of_ = nullptr;
    std::size_t units_ = 0;
  };

  /// How many units one can have at most.
  [[nodiscard]] static constexpr std::size_t max() noexcept { return detail::unit_queue::max(); }

  /// \param units  How many there are in all, none of them acquired. More than max() terminates.
  constexpr explicit semaphore(std::size_t units) noexcept : units_(units, units) {}
  /// \param capacity   How many there are in all.
  /// \param available  How many of them are not acquired. More than there are terminates.
  constexpr semaphore(std::size_t capacity, std::size_t available) noexcept : units_(capacity, available) {}
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;
  ~semaphore() = default;

  /// Waits until it is its turn and there are as many units, and takes them.
  /// \param units  0 waits for its turn only.
  /// Errors:       the end of ctx, with its cause; std::errc::invalid_argument at once where more is asked
  ///               for than there is in all. Nothing is held then.
  [[nodiscard]] result<permit> acquire(const context& ctx, std::size_t units = 1);

  /// Takes them if they are there and nothing waits. Does not wait.
  [[nodiscard]] std::optional<permit> try_acquire(std::size_t units = 1) noexcept {
    if (!units_.try_take(units)) return std::nullopt;
    return permit(units_, units);
  }

  /// Makes units available that no permit releases: of a permit that has forgotten them, or held back from the
  /// beginning. More than are acquired terminates.
  void release(std::size_t units = 1) noexcept { units_.put_back(units); }

  /// A case for `select`: it gets its turn and its units. Its handler takes a result<semaphore::permit>: at once
  /// std::errc::invalid_argument where more is asked for than there is in all.
  [[nodiscard]] detail::acquiring acquiring(std::size_t units = 1) noexcept;

  /// How many units are not acquired, at this moment. They may be promised to a wait for more.
  [[nodiscard]] std::size_t available() const noexcept { return units_.available(); }
  /// How many there are in all.
  [[nodiscard]] std::size_t capacity() const noexcept { return units_.capacity(); }

 private:
  friend class detail::acquiring;

  detail::unit_queue units_;
};

namespace detail {

/// The error of a request for more units than there are in all.
[[nodiscard]] error too_many_units(std::size_t units, std::size_t capacity);

/// Units of a semaphore, as a waitable.
class acquiring : public units_wait {
 public:
  acquiring(semaphore& from, std::size_t units) noexcept
      : units_wait(from.units_, units),
        from_(&from.units_),
        units_(units) {}

  /// They are released again unless the handler of a select takes them.
  static constexpr bool outcome_is_held = true;

  [[nodiscard]] bool try_now() noexcept { return is_refused() || units_wait::try_now(); }
  [[nodiscard]] bool try_locked(finish_list& after) noexcept {
    return is_refused() || units_wait::try_locked(after);
  }
  void undo() noexcept {
    if (!is_refused()) units_wait::undo();
  }
  [[nodiscard]] result<semaphore::permit> outcome() const {
    if (is_refused()) return std::unexpected(too_many_units(units_, from_->capacity()));
    return semaphore::permit(*from_, units_);
  }
  /// It happens at once, with an error.
  [[nodiscard]] bool is_refused() const noexcept { return units_ > from_->capacity(); }

 private:
  unit_queue* from_;
  std::size_t units_;
};

}  // namespace detail

inline detail::acquiring semaphore::acquiring(std::size_t units) noexcept { return {*this, units}; }

inline result<semaphore::permit> semaphore::acquire(const context& ctx, std::size_t units) {
  if (units > capacity()) [[unlikely]]
    return std::unexpected(detail::too_many_units(units, capacity()));
  if (!units_.take(ctx, units, "acquire")) [[unlikely]]
    return std::unexpected(error::ended(ctx, "acquire"));
  return permit(units_, units);
}

}  // namespace curfew
