#pragma once

// A small model checker: it runs the threads of a test case as fibers of one thread of the system, decides
// before every atomic operation which thread goes on, and repeats the case until every decision has been made in every
// way, within bounds. Code under test takes `model::atomic` and `model::plain` in the place of std::atomic
// and of guarded data.
//
// Memory is as weak as C++ allows, but for two things: the stores to one location are in the order in which
// they are executed, and a seq_cst load sees the last of them. So a load may return an old value unless that
// is hidden from its thread, and two threads know of each other's plain data what acquire and release tell
// them, and no more.
//
// Found are: a failed check, an exception or a signal, a data race, the use of what was destroyed or freed, a
// double delete, a leak, a deadlock (which is what a lost wake-up becomes), a loop without an end.
//
// Not modelled: fences, failures of allocation, thread_local.

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>

namespace curfew::model {

inline constexpr unsigned unbounded = std::numeric_limits<unsigned>::max();

struct options {
  unsigned preemptions = 2;  ///< How often a thread that could go on is interrupted, in one execution.
  unsigned stale_reads = 1;  ///< How often a load returns another value than the last, in one execution.
  /// Whether compare_exchange_weak fails without a reason: counts as a stale read.
  bool spurious_failures = false;
  unsigned steps = 20'000;               ///< Operations after which an execution counts as endless.
  std::uint64_t executions = 5'000'000;  ///< Where to stop.
  /// Decide at random, `executions` times, instead of in every way.
  std::optional<std::uint64_t> seed = std::nullopt;
};

struct outcome {
  std::uint64_t executions = 0;
  std::uint64_t steps = 0;
  bool exhausted = false;  ///< Nothing is left to decide within the bounds.
  std::string failure;     ///< Empty: none.
  std::string trace;       ///< What led to the failure.
};

/// Runs `body` again and again, until it fails or there is nothing new. It has to do the same in each
/// execution, but for what `parallel` decides. What it makes for good (static variables) it has to make in
/// its first run, which does not count.
outcome explore(const options& bounds, const std::function<void()>& body);

/// Runs 1 to 4 functions as threads, inside `explore`; returns when all have.
void parallel(std::initializer_list<std::function<void()>> bodies);

/// Ends the execution with a failure unless `holds`.
void check(bool holds, std::string_view text, std::source_location where = std::source_location::current());

/// A line in the trace.
void note(const char* text, std::source_location where = std::source_location::current());

/// Which thread this is: 0 for the body of `explore` and outside, 1 and up for those of `parallel`.
[[nodiscard]] unsigned this_thread() noexcept;

/// This thread cannot go on before another one has changed an atomic.
void relax(std::source_location where = std::source_location::current());

/// Wakes one thread that waits for the atomic at this address, which may no longer exist: as a futex does.
void notify_at(const void* address, std::source_location where = std::source_location::current()) noexcept;

/// How many blocks this execution has allocated and not given back.
[[nodiscard]] std::size_t blocks_alive() noexcept;

/// Memory for what is made once for the process, by whichever thread comes first. Never given back.
[[nodiscard]] void* permanent(std::size_t size);

namespace detail {

inline constexpr unsigned max_threads = 5;             // with the body of `explore`
using times = std::array<std::uint32_t, max_threads>;  // a vector clock; no event has time 0

enum class life : std::uint32_t { alive = 0xA11CE, over = 0xDEAD };

/// What an atomic is to the engine. Outside an exploration a plain value.
struct atomic_cell {
  std::uint64_t value;  // the last one
  life being = life::alive;
  std::uint32_t execution = 0;  // for which `index` holds
  std::uint32_t index = 0;      // of the location

  constexpr explicit atomic_cell(std::uint64_t v) noexcept : value(v) {}
};

void begin(atomic_cell& c) noexcept;
void end(atomic_cell& c) noexcept;
std::uint64_t load(atomic_cell& c, std::memory_order order, std::source_location where) noexcept;
void store(atomic_cell& c, std::uint64_t v, std::memory_order order, std::source_location where) noexcept;
/// The first half of a read-modify-write, up to the value that it reads; `write_back` is the other half.
std::uint64_t read_last(atomic_cell& c, std::memory_order order, const char* what,
                        std::source_location where) noexcept;
void write_back(atomic_cell& c, std::uint64_t v, std::memory_order order) noexcept;
bool compare_exchange(atomic_cell& c, std::uint64_t& expected, std::uint64_t desired,
                      std::memory_order success, std::memory_order failure, bool weak,
                      std::source_location where) noexcept;
void wait(atomic_cell& c, std::uint64_t old, std::memory_order order, std::source_location where) noexcept;
void notify(atomic_cell& c, bool all, std::source_location where) noexcept;

/// Which threads have touched plain data, and when.
struct plain_cell {
  life being = life::alive;
  std::uint32_t execution = 0;  // for which the rest holds
  std::uint32_t writer = 0;
  std::uint32_t written = 0;
  times read{};
};

void begin(plain_cell& c) noexcept;
void end(plain_cell& c) noexcept;
void read(plain_cell& c) noexcept;
void write(plain_cell& c) noexcept;

constexpr std::memory_order for_failure(std::memory_order order) noexcept {
  if (order == std::memory_order_acq_rel) return std::memory_order_acquire;
  return order == std::memory_order_release ? std::memory_order_relaxed : order;
}

}  // namespace detail

/// As std::atomic, for integers, bool, enumerations and pointers.
template <class T>
class atomic {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(std::uint64_t));
  using order = std::memory_order;
  using place = std::source_location;
  static constexpr order seq_cst = std::memory_order_seq_cst;

 public:
  using value_type = T;

  constexpr atomic() noexcept : atomic(T()) {}
  constexpr atomic(T value) noexcept
      : cell_(initial(value)) {  // NOLINT(google-explicit-constructor): as std::atomic
    if consteval {
    } else {
      cell_.value = raw(value);
      detail::begin(cell_);
    }
  }
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;
  constexpr ~atomic() {
    if consteval {
    } else {
      detail::end(cell_);
    }
  }

  T load(order o = seq_cst, place where = place::current()) const noexcept {
    return cooked(detail::load(cell_, o, where));
  }
  void store(T value, order o = seq_cst, place where = place::current()) noexcept {
    detail::store(cell_, raw(value), o, where);
  }
  T exchange(T value, order o = seq_cst, place where = place::current()) noexcept {
    return modify("exchange", o, where, [&](T) { return value; });
  }
  bool compare_exchange_strong(T& expected, T desired, order success, order failure,
                               place where = place::current()) noexcept {
    return compare_exchange(expected, desired, success, failure, false, where);
  }
  bool compare_exchange_strong(T& expected, T desired, order o = seq_cst,
                               place where = place::current()) noexcept {
    return compare_exchange(expected, desired, o, detail::for_failure(o), false, where);
  }
  bool compare_exchange_weak(T& expected, T desired, order success, order failure,
                             place where = place::current()) noexcept {
    return compare_exchange(expected, desired, success, failure, true, where);
  }
  bool compare_exchange_weak(T& expected, T desired, order o = seq_cst,
                             place where = place::current()) noexcept {
    return compare_exchange(expected, desired, o, detail::for_failure(o), true, where);
  }
  T fetch_add(T by, order o = seq_cst, place where = place::current()) noexcept {
    return modify("fetch_add", o, where, [&](T old) { return static_cast<T>(old + by); });
  }
  T fetch_sub(T by, order o = seq_cst, place where = place::current()) noexcept {
    return modify("fetch_sub", o, where, [&](T old) { return static_cast<T>(old - by); });
  }
  T fetch_or(T by, order o = seq_cst, place where = place::current()) noexcept {
    return modify("fetch_or", o, where, [&](T old) { return static_cast<T>(old | by); });
  }
  T fetch_and(T by, order o = seq_cst, place where = place::current()) noexcept {
    return modify("fetch_and", o, where, [&](T old) { return static_cast<T>(old & by); });
  }
  void wait(T old, order o = seq_cst, place where = place::current()) const noexcept {
    detail::wait(cell_, raw(old), o, where);
  }
  void notify_one(place where = place::current()) noexcept { detail::notify(cell_, false, where); }
  void notify_all(place where = place::current()) noexcept { detail::notify(cell_, true, where); }

  operator T() const noexcept { return load(); }  // NOLINT(google-explicit-constructor): as std::atomic
  T operator=(T value) noexcept {                 // NOLINT(misc-unconventional-assign-operator)
    store(value);
    return value;
  }

 private:
  static constexpr std::uint64_t initial(T value) noexcept {
    if constexpr (std::is_pointer_v<T>) {
      return 0;  // the only pointer that a constant initializer gives
    } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      return static_cast<std::make_unsigned_t<T>>(value);
    } else {
      return static_cast<std::uint64_t>(value);
    }
  }
  static std::uint64_t raw(T value) noexcept {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
  }
  static T cooked(std::uint64_t bits) noexcept {
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

  template <class Change>
  T modify(const char* what, order o, place where, Change change) noexcept {
    const T old = cooked(detail::read_last(cell_, o, what, where));
    detail::write_back(cell_, raw(change(old)), o);
    return old;
  }

  bool compare_exchange(T& expected, T desired, order success, order failure, bool weak,
                        place where) noexcept {
    std::uint64_t seen = raw(expected);
    const bool done = detail::compare_exchange(cell_, seen, raw(desired), success, failure, weak, where);
    if (!done) expected = cooked(seen);
    return done;
  }

  mutable detail::atomic_cell cell_;
};

/// Data that is not atomic, and that a lock or an order between the threads has to guard. Use it as a T.
template <class T>
class plain {
 public:
  constexpr plain() noexcept : plain(T()) {}
  constexpr plain(T value) noexcept : value_(value) {  // NOLINT(google-explicit-constructor): as a T
    if consteval {
    } else {
      detail::begin(cell_);
    }
  }
  plain(const plain& other) noexcept : plain(static_cast<T>(other)) {}
  plain& operator=(const plain& other) noexcept {
    const T value = other;
    return *this = value;
  }
  plain& operator=(const T& value) noexcept {
    detail::write(cell_);
    value_ = value;
    return *this;
  }
  constexpr ~plain() {
    if consteval {
    } else {
      detail::end(cell_);
    }
  }

  operator T() const noexcept {  // NOLINT(google-explicit-constructor): as a T
    detail::read(cell_);
    return value_;
  }
  auto operator->() const noexcept {
    detail::read(cell_);
    if constexpr (std::is_pointer_v<T>) {
      return value_;
    } else {
      return &value_;
    }
  }

 private:
  T value_;
  mutable detail::plain_cell cell_;
};

}  // namespace curfew::model
