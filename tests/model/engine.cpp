#undef _FORTIFY_SOURCE  // its longjmp does not let one stack jump to another
// The scheduler, its memory model and the reports: long, since each needs the state of the others.

#include "model/engine.hpp"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <new>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

// Long, since it is one mechanism: decisions, fibers and memory change the same state, which nothing else may see.
//
// How an execution goes. A thread runs until it is about to do an atomic operation. There `schedule` decides which
// thread does its next one, and changes the stack if it is another thread. What a thread does between two of its
// operations touches nothing that others may look at, or is a data race, which the vector clocks find in any order.
// So the schedules of the atomic operations are all schedules.
//
// A decision is a number below a bound (`choose`). The decisions of an execution are kept; the next execution
// takes the same but for the last one that has something left, and the first alternative after that: depth
// first.
//
// Memory. A location keeps all its stores in order. Each knows from when on each thread has seen it; a thread
// that has that moment in its vector clock must not read an older one. A store with release carries the
// vector clock of its thread, which a load with acquire takes over; a read-modify-write passes on what was
// carried before.
//
// Blocks that an execution allocates come from an arena and stay untouched until the next execution: so what
// uses one after free is found, and every execution sees the same addresses.

namespace curfew::model {

namespace {

using detail::atomic_cell;
using detail::life;
using detail::max_threads;
using detail::plain_cell;
using detail::times;

constexpr std::size_t stack_size = 256 * 1024;
constexpr std::size_t arena_size = 8 * 1024 * 1024;
constexpr std::size_t grain = 16;

enum class standing : std::uint8_t { ready, relaxing, waiting, joining, over };

struct thread {
  std::byte* stack = nullptr;
  ucontext_t start{};
  jmp_buf resume{};
  bool started = false;      // `resume` holds
  bool up_to_first = false;  // runs what comes before its first operation
  standing now = standing::over;
  std::uint32_t waits_for = 0;  // the location
  const std::function<void()>* body = nullptr;
  times seen{};  // its vector clock
  std::uint64_t own_changes = 0;
  std::uint64_t others_before = 0;  // the changes by others when it last relaxed
  std::uint64_t fresh = 0;          // it must see what was overwritten before this
  bool read_stale = false;          // since it last relaxed
};

struct store_record {
  std::uint64_t value = 0;
  std::uint64_t number = 0;  // among all stores of the execution
  times known{};             // when each thread came to know of it
  times carried{};           // for the threads that acquire
};

struct location {
  const void* address = nullptr;
  unsigned born_by = 0;
  std::uint32_t born_at = 0;
  times used{};
  std::vector<store_record> stores;
};

struct decision {
  unsigned taken;
  unsigned of;
};

struct event {
  unsigned thread;
  const char* what;
  const void* address;  // null: a note
  std::uint64_t value;
  const char* order;
  std::source_location where;
};

// In front of each block that operator new gives.
struct alignas(grain) header {
  void* base;  // what free takes; null: of the arena
  std::size_t size;
  std::uint32_t number;
  bool freed;
  bool kept;  // of a warm-up: not given back, so that its use after free is found
};

struct engine {
  options bounds;
  bool running = false;  // an execution is under way
  bool warming = false;
  unsigned inside = 0;  // the engine itself is at work: its allocations are not the test's
  std::uint32_t execution = 0;
  thread threads[max_threads];
  unsigned count = 1;  // of threads
  unsigned current = 0;
  std::uint64_t writes = 0;
  std::uint64_t changes = 0;  // the writes of another value than before
  unsigned steps = 0;
  unsigned preemptions = 0;
  unsigned stale_reads = 0;
  std::vector<location> locations;
  std::uint32_t locations_used = 0;
  std::vector<decision> decisions;
  std::size_t next_decision = 0;
  std::mt19937_64 random;
  std::vector<event> events;
  std::vector<header*> blocks;  // of the arena
  std::byte* arena = nullptr;
  std::size_t arena_used = 0;
  std::vector<std::uint8_t> freed;  // for each grain of the arena
  std::vector<std::pair<const std::byte*, std::size_t>> permanent;
  std::string failure;
  jmp_buf back;  // to `explore`
};

engine g;

/// While it lives, allocations are the engine's own.
struct own_work {
  own_work() noexcept { ++g.inside; }
  own_work(const own_work&) = delete;
  own_work& operator=(const own_work&) = delete;
  ~own_work() { --g.inside; }
};

thread& self() noexcept { return g.threads[g.current]; }
std::uint32_t& self_time() noexcept { return self().seen[g.current]; }

void join(times& into, const times& from) noexcept {
  for (unsigned t = 0; t != max_threads; ++t) into[t] = std::max(into[t], from[t]);
}

bool is_acquire(std::memory_order o) noexcept {
  return o != std::memory_order_relaxed && o != std::memory_order_release;
}
bool is_release(std::memory_order o) noexcept {
  return o == std::memory_order_release || o == std::memory_order_acq_rel || o == std::memory_order_seq_cst;
}
const char* name_of(std::memory_order o) noexcept {
  switch (o) {
    case std::memory_order_relaxed:
      return "relaxed";
    case std::memory_order_release:
      return "release";
    case std::memory_order_acq_rel:
      return "acq_rel";
    case std::memory_order_seq_cst:
      return "seq_cst";
    default:
      return "acquire";
  }
}

// ---- what is said of a failure ----

bool in_arena(const void* p) noexcept {
  const auto* at = static_cast<const std::byte*>(p);
  return at >= g.arena && at < g.arena + g.arena_used;
}

std::string describe(const void* p) {
  if (in_arena(p)) {
    auto after = std::upper_bound(g.blocks.begin(), g.blocks.end(), p,
                                  [](const void* a, const header* b) { return a < b; });
    if (after != g.blocks.begin()) {
      const header* block = *--after;
      return "block " + std::to_string(block->number) + " (" + std::to_string(block->size) + " bytes) + " +
             std::to_string(static_cast<const std::byte*>(p) - reinterpret_cast<const std::byte*>(block + 1));
    }
  }
  std::vector<const void*> others;  // those outside of the arena, in the order of their first use
  for (const event& e : g.events) {
    if (e.address != nullptr && !in_arena(e.address) &&
        std::ranges::find(others, e.address) == others.end()) {
      others.push_back(e.address);
    }
  }
  return "object " + std::to_string(std::ranges::find(others, p) - others.begin() + 1);
}

std::string file_of(const std::source_location& where) {
  const std::string_view path = where.file_name();
  return std::string(path.substr(path.find_last_of('/') + 1)) + ":" + std::to_string(where.line());
}

std::string trace() {
  std::string text;
  for (const event& e : g.events) {
    std::string line = "  " + std::string(12 * e.thread, ' ') + "T" + std::to_string(e.thread) + " " + e.what;
    if (e.address != nullptr) line += " " + describe(e.address);
    if (e.order != nullptr) {
      char value[32];
      std::snprintf(value, sizeof value, e.value < 100'000 ? ": %llu " : ": 0x%llx ",
                    static_cast<unsigned long long>(e.value));
      line += value + std::string(e.order);
    }
    if (e.where.line() != 0) line += "   [" + file_of(e.where) + "]";
    text += line + "\n";
  }
  return text;
}

[[noreturn]] void fail(const std::string& what) {
  ++g.inside;
  if (g.failure.empty()) g.failure = "thread " + std::to_string(g.current) + ": " + what;
  g.running = false;
  longjmp(g.back, 1);
}

[[noreturn]] void fail_at(const char* what, const void* address) {
  ++g.inside;
  g.events.push_back({g.current, what, address, 0, nullptr, {}});
  fail(std::string(what) + ": " + describe(address));
}

void record(const char* what, const void* address, std::uint64_t value, const char* order,
            const std::source_location& where) {
  const own_work working;
  g.events.push_back({g.current, what, address, value, order, where});
}

// ---- decisions ----

/// \return a number below `of`: 0 in the first execution.
unsigned choose(unsigned of) {
  if (of < 2) return 0;
  if (g.warming) return 0;
  const own_work working;
  if (g.bounds.seed) return static_cast<unsigned>(g.random() % of);
  if (g.next_decision == g.decisions.size()) g.decisions.push_back({0, of});
  const decision& d = g.decisions[g.next_decision++];
  if (d.of != of) fail("the body of the case does not do the same in each execution");
  return d.taken;
}

/// Makes the decisions those of the next execution.
/// \return false: there is none.
bool next_execution() {
  auto& all = g.decisions;
  while (!all.empty() && all.back().taken + 1 == all.back().of) all.pop_back();
  if (all.empty()) return false;
  ++all.back().taken;
  return true;
}

// ---- fibers ----

[[gnu::noinline]] void jump_to(thread& to) {
  if (to.started) longjmp(to.resume, 1);
  to.started = true;
  setcontext(&to.start);
}

[[gnu::noinline]] void switch_to(unsigned next) {
  thread& from = self();
  if (_setjmp(from.resume) != 0) return;
  g.current = next;
  jump_to(g.threads[next]);
}

void schedule(bool preempting, const std::source_location& where);

void run_fiber() {
  thread& me = self();
  try {
    (*me.body)();
  } catch (const std::exception& e) {
    fail(std::string("an exception left the thread: ") + e.what());
  } catch (...) {
    fail("an exception left the thread");
  }
  me.now = standing::over;
  if (g.current == 0) longjmp(g.back, 2);
  if (std::exchange(me.up_to_first, false)) switch_to(0);
  schedule(false, {});
  std::abort();  // no thread goes on with it
}

void prepare(unsigned t, const std::function<void()>& body) {
  thread& made = g.threads[t];
  if (made.stack == nullptr) {
    void* mapped =
        mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    made.stack = static_cast<std::byte*>(mapped);
    mprotect(made.stack, 4096, PROT_NONE);  // where an overflow ends
  }
  getcontext(&made.start);
  made.start.uc_stack.ss_sp = made.stack;
  made.start.uc_stack.ss_size = stack_size;
  made.start.uc_link = nullptr;
  makecontext(&made.start, run_fiber, 0);
  made.started = false;
  made.up_to_first = t != 0;
  made.now = standing::ready;
  made.body = &body;
  made.own_changes = made.others_before = made.fresh = 0;
  made.read_stale = false;
}

bool can_go_on(unsigned t) noexcept {
  const thread& it = g.threads[t];
  switch (it.now) {
    case standing::ready:
      return true;
    case standing::relaxing:
      return it.read_stale || g.changes - it.own_changes > it.others_before;
    case standing::joining:
      for (unsigned other = 1; other != g.count; ++other) {
        if (g.threads[other].now != standing::over) return false;
      }
      return true;
    default:
      return false;
  }
}

[[noreturn]] void fail_with_deadlock() {
  const own_work working;
  std::string what = "deadlock:";
  for (unsigned t = 0; t != g.count; ++t) {
    const standing now = g.threads[t].now;
    if (now == standing::waiting || now == standing::relaxing) {
      what += " thread " + std::to_string(t) + (now == standing::waiting ? " sleeps;" : " spins;");
    }
  }
  fail(what);
}

/// Decides which thread goes on, and returns when it is this one's turn.
/// \param preempting  This thread could go on: to take another one is to interrupt it.
void schedule(bool preempting, const std::source_location& where) {
  if (std::exchange(self().up_to_first, false)) {
    switch_to(0);
    if (self().now == standing::ready) return;  // chosen for the operation that it is at
  }
  if (++g.steps > g.bounds.steps)
    fail("endless: " + std::to_string(g.steps) + " steps; the last at " + file_of(where));
  unsigned able[max_threads];
  unsigned found = 0;
  if (can_go_on(g.current)) able[found++] = g.current;
  if (!preempting || g.preemptions < g.bounds.preemptions) {
    for (unsigned t = 0; t != g.count; ++t) {
      if (t != g.current && can_go_on(t)) able[found++] = t;
    }
  }
  if (found == 0) fail_with_deadlock();
  const unsigned next = able[choose(found)];
  if (next == g.current) return;
  if (preempting) ++g.preemptions;
  switch_to(next);
}

// ---- memory ----

void look_at(life being, const void* address) {
  if (in_arena(address) &&
      g.freed[static_cast<std::size_t>(static_cast<const std::byte*>(address) - g.arena) / grain] != 0) {
    fail_at("use after free", address);
  }
  if (being != life::alive) fail_at("use of what is destroyed, or was never made", address);
}

location& new_location(atomic_cell& c, unsigned by, std::uint32_t at) {
  const own_work working;
  c.execution = g.execution;
  c.index = g.locations_used++;
  if (g.locations.size() < g.locations_used) g.locations.emplace_back();
  location& l = g.locations[c.index];
  l.address = &c;
  l.born_by = by;
  l.born_at = at;
  l.used = {};
  l.stores.clear();
  l.stores.push_back({c.value, g.writes, {}, {}});
  l.stores.back().known[by] = at;
  return l;
}

/// What every operation begins with.
location& enter(atomic_cell& c, const std::source_location& where) {
  schedule(true, where);
  look_at(c.being, &c);
  location& l = c.execution == g.execution ? g.locations[c.index] : new_location(c, 0, 0);
  if (l.born_at > self().seen[l.born_by])
    fail_at("data race: used by a thread that may not see its construction", &c);
  l.used[g.current] = self_time();
  return l;
}

void leave() noexcept { ++self_time(); }

/// What an old enough thread knows: the first store that this one may read.
std::size_t oldest_readable(const location& l) noexcept {
  const thread& me = self();
  for (std::size_t i = l.stores.size() - 1; i != 0; --i) {
    if (l.stores[i].number <= me.fresh) return i;
    for (unsigned t = 0; t != max_threads; ++t) {
      if (l.stores[i].known[t] != 0 && l.stores[i].known[t] <= me.seen[t]) return i;
    }
  }
  return 0;
}

std::uint64_t see(store_record& s, std::memory_order order) noexcept {
  std::uint32_t& known = s.known[g.current];
  if (known == 0) known = self_time();
  if (is_acquire(order)) join(self().seen, s.carried);
  return s.value;
}

void append(atomic_cell& c, location& l, std::uint64_t v, std::memory_order order, const times* passed_on) {
  store_record made;
  made.value = v;
  made.number = ++g.writes;
  made.known[g.current] = self_time();
  if (passed_on != nullptr) made.carried = *passed_on;
  if (is_release(order)) join(made.carried, self().seen);
  if (v != l.stores.back().value) {
    ++g.changes;
    ++self().own_changes;
  }
  const own_work working;
  l.stores.push_back(made);
  c.value = v;
}

bool may_read_stale() noexcept { return g.stale_reads < g.bounds.stale_reads; }

void count_stale() noexcept {
  ++g.stale_reads;
  self().read_stale = true;
}

/// A conflict with what another thread did at a time that this one does not know.
void look_for_race(const times& done, const char* what, const void* address) {
  for (unsigned t = 0; t != max_threads; ++t) {
    if (done[t] > self().seen[t]) {
      const own_work working;
      fail("data race: " + std::string(what) + " of thread " + std::to_string(t) + ": " + describe(address));
    }
  }
}

plain_cell& current(plain_cell& c) noexcept {
  if (c.execution != g.execution) {
    c = plain_cell{.being = c.being, .execution = g.execution};
  }
  return c;
}

void mark_over(life& being) noexcept {
  *static_cast<volatile life*>(&being) = life::over;  // volatile: a store to a dying object
}

}  // namespace

namespace detail {

void begin(atomic_cell& c) noexcept {
  c.being = life::alive;
  c.execution = 0;
  if (!g.running) return;
  // A static variable in a function: its guard, which is not modelled, brings its construction to all.
  const bool known_to_all = std::ranges::any_of(g.permanent, [&](const auto& block) {
    const auto* at = reinterpret_cast<const std::byte*>(&c);
    return at >= block.first && at < block.first + block.second;
  });
  if (known_to_all) {
    new_location(c, 0, 0);
  } else {
    new_location(c, g.current, self_time());
  }
}

void end(atomic_cell& c) noexcept {
  if (g.running) {
    look_at(c.being, &c);
    if (c.execution == g.execution) {
      const location& l = g.locations[c.index];
      record("destroys", &c, 0, nullptr, {});
      if (l.born_at > self().seen[l.born_by])
        fail_at("data race: destroyed by a thread that may not see its construction", &c);
      look_for_race(l.used, "destroyed, but not after a use", &c);
    }
  }
  mark_over(c.being);
}

std::uint64_t load(atomic_cell& c, std::memory_order order, std::source_location where) noexcept {
  if (!g.running) return c.value;
  location& l = enter(c, where);
  const std::size_t last = l.stores.size() - 1;
  std::size_t oldest = last;
  if (order != std::memory_order_seq_cst && may_read_stale()) oldest = oldest_readable(l);
  const std::size_t back = choose(static_cast<unsigned>(last - oldest) + 1);
  if (back != 0) count_stale();
  const std::uint64_t v = see(l.stores[last - back], order);
  record(back != 0 ? "loads an old value of" : "loads", &c, v, name_of(order), where);
  leave();
  return v;
}

void store(atomic_cell& c, std::uint64_t v, std::memory_order order, std::source_location where) noexcept {
  if (!g.running) {
    c.value = v;
    return;
  }
  location& l = enter(c, where);
  record("stores to", &c, v, name_of(order), where);
  append(c, l, v, order, nullptr);
  leave();
}

std::uint64_t read_last(atomic_cell& c, std::memory_order order, const char* what,
                        std::source_location where) noexcept {
  if (!g.running) return c.value;
  location& l = enter(c, where);
  const std::uint64_t v = see(l.stores.back(), order);
  record(what, &c, v, name_of(order), where);
  return v;
}

void write_back(atomic_cell& c, std::uint64_t v, std::memory_order order) noexcept {
  if (!g.running) {
    c.value = v;
    return;
  }
  location& l = g.locations[c.index];
  const times passed_on = l.stores.back().carried;
  append(c, l, v, order, &passed_on);
  leave();
}

bool compare_exchange(atomic_cell& c, std::uint64_t& expected, std::uint64_t desired,
                      std::memory_order success, std::memory_order failure, bool weak,
                      std::source_location where) noexcept {
  if (!g.running) {
    if (c.value != expected) {
      expected = c.value;
      return false;
    }
    c.value = desired;
    return true;
  }
  location& l = enter(c, where);
  const std::size_t last = l.stores.size() - 1;
  const bool equal = l.stores[last].value == expected;
  std::array<std::size_t, 8> old{};  // failures that read something else than the last store
  unsigned found = 0;
  if (may_read_stale()) {
    if (equal && weak && g.bounds.spurious_failures) old[found++] = last;
    for (std::size_t i = last; i-- > oldest_readable(l) && found != old.size();) {
      if (l.stores[i].value != expected && failure != std::memory_order_seq_cst) old[found++] = i;
    }
  }
  const unsigned chosen = choose(found + 1);
  if (chosen == 0 && equal) {
    see(l.stores[last], success);
    record("compare_exchange, done, of", &c, desired, name_of(success), where);
    write_back(c, desired, success);
    return true;
  }
  if (chosen != 0) count_stale();
  expected = see(l.stores[chosen == 0 ? last : old[chosen - 1]], failure);
  record("compare_exchange, failed, of", &c, expected, name_of(failure), where);
  leave();
  return false;
}

void wait(atomic_cell& c, std::uint64_t old, std::memory_order order, std::source_location where) noexcept {
  if (!g.running) return;
  location* l = &enter(c, where);
  while (l->stores.back().value == old) {
    record("sleeps on", &c, old, name_of(order), where);
    self().now = standing::waiting;
    self().waits_for = c.index;
    schedule(false, where);
    look_at(c.being, &c);
    l = &g.locations[c.index];
  }
  const std::uint64_t v = see(l->stores.back(), order);
  record("is awake from", &c, v, name_of(order), where);
  leave();
}

void notify(atomic_cell& c, bool all, std::source_location where) noexcept {
  if (!g.running) return;
  enter(c, where);
  record(all ? "notifies all of" : "notifies one of", &c, 0, nullptr, where);
  unsigned asleep[max_threads];
  unsigned found = 0;
  for (unsigned t = 0; t != g.count; ++t) {
    if (g.threads[t].now == standing::waiting && g.threads[t].waits_for == c.index) asleep[found++] = t;
  }
  if (all) {
    for (unsigned i = 0; i != found; ++i) g.threads[asleep[i]].now = standing::ready;
  } else if (found != 0) {
    g.threads[asleep[choose(found)]].now = standing::ready;
  }
  leave();
}

void begin(plain_cell& c) noexcept {
  c.being = life::alive;
  c.execution = 0;
  if (!g.running) return;
  current(c).writer = g.current;
  c.written = self_time();
}

void end(plain_cell& c) noexcept {
  if (g.running) {
    look_at(c.being, &c);
    times done = current(c).read;
    done[c.writer] = std::max(done[c.writer], c.written);
    look_for_race(done, "destroyed, but not after a use", &c);
  }
  mark_over(c.being);
}

void read(plain_cell& c) noexcept {
  if (!g.running) return;
  look_at(c.being, &c);
  current(c).read[g.current] = self_time();
  record("reads", &c, 0, nullptr, {});
  times done{};
  done[c.writer] = c.written;
  look_for_race(done, "read, but not after the write", &c);
}

void write(plain_cell& c) noexcept {
  if (!g.running) return;
  look_at(c.being, &c);
  record("writes", &c, 0, nullptr, {});
  times done = current(c).read;
  done[c.writer] = std::max(done[c.writer], c.written);
  look_for_race(done, "written, but not after a use", &c);
  c.writer = g.current;
  c.written = self_time();
}

}  // namespace detail

// ---- the interface ----

unsigned this_thread() noexcept { return g.running ? g.current : 0; }

void note(const char* text, std::source_location where) {
  if (g.running) record(text, nullptr, 0, nullptr, where);
}

void check(bool holds, std::string_view text, std::source_location where) {
  if (holds || !g.running) return;
  const own_work working;
  fail("check failed: " + std::string(text) + " [" + file_of(where) + "]");
}

void notify_at(const void* address, std::source_location where) noexcept {
  if (!g.running) return;
  schedule(true, where);
  record("notifies one at", address, 0, nullptr, where);
  unsigned asleep[max_threads];
  unsigned found = 0;
  for (unsigned t = 0; t != g.count; ++t) {
    if (g.threads[t].now == standing::waiting && g.locations[g.threads[t].waits_for].address == address)
      asleep[found++] = t;
  }
  if (found != 0) g.threads[asleep[choose(found)]].now = standing::ready;
  leave();
}

void relax(std::source_location where) {
  if (!g.running) return;
  thread& me = self();
  me.now = standing::relaxing;
  schedule(false, where);
  me.now = standing::ready;
  me.others_before = g.changes - me.own_changes;
  me.fresh = g.writes;
  me.read_stale = false;
}

void parallel(std::initializer_list<std::function<void()>> bodies) {
  if (!g.running || g.current != 0 || bodies.size() == 0 || bodies.size() >= max_threads) {
    throw std::logic_error("model::parallel: for 1 to 4 threads, in the body of explore");
  }
  thread& me = self();
  g.count = 1;
  for (const auto& body : bodies) {
    const own_work working;
    const unsigned t = g.count++;
    prepare(t, body);
    join(g.threads[t].seen, me.seen);
    ++g.threads[t].seen[t];
  }
  ++self_time();
  for (unsigned t = 1; t != g.count; ++t) switch_to(t);  // up to its first operation
  me.now = standing::joining;
  schedule(false, {});
  me.now = standing::ready;
  for (unsigned t = 1; t != g.count; ++t) join(me.seen, g.threads[t].seen);
  ++self_time();
  g.count = 1;
}

namespace {

void on_signal(int number) {
  if (g.running) fail(std::string("signal: ") + sigabbrev_np(number));
  signal(number, SIG_DFL);
  raise(number);
}

/// Signals become failures, as long as it lives.
class signal_guard {
 public:
  signal_guard() {
    const own_work working;
    stack_.resize(64 * 1024);
    stack_t alternative{.ss_sp = stack_.data(), .ss_flags = 0, .ss_size = stack_.size()};
    sigaltstack(&alternative, &old_stack_);
    struct sigaction action{};
    action.sa_handler = on_signal;
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    for (std::size_t i = 0; i != numbers.size(); ++i) sigaction(numbers[i], &action, &old_[i]);
  }
  signal_guard(const signal_guard&) = delete;
  signal_guard& operator=(const signal_guard&) = delete;
  ~signal_guard() {
    for (std::size_t i = 0; i != numbers.size(); ++i) sigaction(numbers[i], &old_[i], nullptr);
    sigaltstack(&old_stack_, nullptr);
  }

 private:
  static constexpr std::array<int, 5> numbers{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
  std::vector<std::byte> stack_;
  stack_t old_stack_{};
  std::array<struct sigaction, numbers.size()> old_{};
};

void reset() {
  ++g.execution;
  g.count = 1;
  g.current = 0;
  g.writes = g.changes = 0;
  g.steps = g.preemptions = g.stale_reads = 0;
  g.locations_used = 0;
  g.next_decision = 0;
  g.events.clear();
  g.blocks.clear();
  std::fill_n(g.freed.begin(), g.arena_used / grain, std::uint8_t{0});
  g.arena_used = 0;
  for (thread& t : g.threads) t.seen = {};
  for (unsigned t = 0; t != max_threads; ++t) g.threads[t].seen[t] = 1;
}

/// \return whether it went well.
[[gnu::noinline]] bool run_once(const std::function<void()>& body) {
  reset();
  prepare(0, body);
  if (setjmp(g.back) == 0) {
    g.running = true;
    g.inside = 0;
    jump_to(g.threads[0]);
  }
  g.running = false;
  g.inside = 1;
  if (g.failure.empty() && !g.warming) {
    for (const header* block : g.blocks) {
      if (!block->freed) g.failure = "leak: " + describe(block + 1);
    }
  }
  return g.failure.empty();
}

}  // namespace

outcome explore(const options& bounds, const std::function<void()>& body) {
  const own_work working;
  const signal_guard guard;
  if (g.arena == nullptr) {
    void* mapped = mmap(nullptr, arena_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    g.arena = static_cast<std::byte*>(mapped);
    g.freed.resize(arena_size / grain);
  }
  g.bounds = bounds;
  g.decisions.clear();
  g.failure.clear();
  g.warming = true;
  outcome result;
  bool good = run_once(body);
  g.warming = false;
  if (!good) {  // once more, for a report in which blocks have numbers
    const std::string first = std::exchange(g.failure, {});
    if (run_once(body)) g.failure = first;
    result.executions = 1;
  }
  while (good && !result.exhausted && result.executions != bounds.executions) {
    if (bounds.seed) g.random.seed(*bounds.seed + result.executions);
    good = run_once(body);
    ++result.executions;
    result.steps += g.steps;
    if (good && !bounds.seed) result.exhausted = !next_execution();
  }
  if (!good) {
    result.failure = g.failure;
    if (bounds.seed && result.executions != 0) {
      result.failure += "; seed " + std::to_string(*bounds.seed + result.executions - 1);
    }
    result.trace = trace();
  }
  return result;
}

std::size_t blocks_alive() noexcept {
  return static_cast<std::size_t>(
      std::ranges::count(g.blocks, false, [](const header* b) { return b->freed; }));
}

void* permanent(std::size_t size) {
  const own_work working;
  void* made = ::operator new(size);
  g.permanent.emplace_back(static_cast<const std::byte*>(made), size);
  return made;
}

namespace {

std::size_t round_up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }

void* allocate(std::size_t size, std::size_t alignment) {
  alignment = std::max(alignment, grain);
  const std::size_t front = round_up(sizeof(header), alignment);
  const std::size_t whole = front + round_up(std::max<std::size_t>(size, 1), alignment);
  const bool the_tests = g.running && g.inside == 0;
  if (the_tests && !g.warming) {
    const std::size_t offset = round_up(g.arena_used, alignment);  // the arena begins with a page
    if (offset + whole > arena_size) fail("too much memory allocated in one execution");
    g.arena_used = offset + whole;
    auto* block = reinterpret_cast<header*>(g.arena + offset + front) - 1;
    const own_work working;
    g.blocks.push_back(block);
    return new (block) header{nullptr, size, static_cast<std::uint32_t>(g.blocks.size()), false, false} + 1;
  }
  auto* base =
      static_cast<std::byte*>(alignment == grain ? std::malloc(whole) : std::aligned_alloc(alignment, whole));
  if (base == nullptr) throw std::bad_alloc();
  return new (reinterpret_cast<header*>(base + front) - 1) header{base, size, 0, false, the_tests} + 1;
}

void give_back(void* p) noexcept {
  if (p == nullptr) return;
  auto* block = static_cast<header*>(p) - 1;
  if (block->base != nullptr && !block->kept) {
    std::free(block->base);
    return;
  }
  if (block->freed && g.running) fail_at("double delete", p);
  block->freed = true;
  if (block->base == nullptr) {
    const std::size_t first = static_cast<std::size_t>(static_cast<std::byte*>(p) - g.arena) / grain;
    std::fill_n(g.freed.begin() + static_cast<std::ptrdiff_t>(first), (block->size + grain - 1) / grain,
                std::uint8_t{1});
  }
}

}  // namespace

}  // namespace curfew::model

// All others of the standard library call these.
void* operator new(std::size_t size) { return curfew::model::allocate(size, 1); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return curfew::model::allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* p) noexcept { curfew::model::give_back(p); }
void operator delete(void* p, std::size_t) noexcept { curfew::model::give_back(p); }
void operator delete(void* p, std::align_val_t) noexcept { curfew::model::give_back(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { curfew::model::give_back(p); }
