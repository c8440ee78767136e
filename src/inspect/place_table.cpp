#include "inspect/place_table.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>

namespace curfew::inspect::place_table {

namespace {

constexpr std::size_t most = 512;

struct entry {
  place_info info;
  const task_kind* kind = nullptr;
  std::uint64_t count = 0;
};

/// Never destroyed: threads that end last tell it.
struct table {
  std::mutex mutex;
  std::vector<entry> entries;  // guarded by mutex

  table() { entries.reserve(most); }
};

table& the_table() {
  static auto* const only = new table;
  return *only;
}

bool same(const std::source_location& a, const std::source_location& b) noexcept {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

entry& entry_of(table& t, const std::source_location& where, const task_kind* kind) noexcept {
  auto found = std::ranges::find_if(
      t.entries, [&](const entry& e) { return e.kind == kind && same(e.info.where, where); });
  if (found == t.entries.end()) {
    std::uint64_t count = 0;
    if (t.entries.size() < most) {
      t.entries.emplace_back();  // there is room
      found = t.entries.end() - 1;
    } else {
      found = std::ranges::min_element(t.entries, {}, &entry::count);
      count = found->count;
      *found = {};
    }
    found->info.where = where;
    found->info.kind = kind->name;
    found->kind = kind;
    found->count = count;
  }
  ++found->count;
  return *found;
}

}  // namespace

void held(task_ref by, std::chrono::nanoseconds duration) noexcept {
  const task_kind* kind = nullptr;
  std::source_location where;
  {
    const brief_lock guard(by.record->lock);
    if (!by.record->is(by.generation) || by.record->is_carrier()) return;
    kind = by.record->kind;
    where = by.record->where;
  }
  table& t = the_table();
  const std::lock_guard guard(t.mutex);
  entry& e = entry_of(t, where, kind);
  e.info.longest_hold = std::max(e.info.longest_hold, duration);
}

void stopped(const past& over, bool was_zombie) noexcept {
  const auto took = as_nanoseconds(since(over.told, over.ended));
  table& t = the_table();
  const std::lock_guard guard(t.mutex);
  place_info& p = entry_of(t, over.where, over.kind).info;
  ++p.told;
  if (was_zombie) ++p.zombies;
  p.longest = std::max(p.longest, took);
  p.total += took;
  p.cpu_for_nobody += std::chrono::nanoseconds(over.cpu_since);
}

std::vector<place_info> all() {
  table& t = the_table();
  std::vector<place_info> found;
  const std::lock_guard guard(t.mutex);
  found.reserve(t.entries.size());
  for (const entry& e : t.entries) found.push_back(e.info);
  return found;
}

}  // namespace curfew::inspect::place_table
