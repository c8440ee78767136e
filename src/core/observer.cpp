#include <algorithm>
#include <curfew/core/context.hpp>
#include <curfew/core/observer.hpp>
#include <exception>
#include <mutex>
#include <string_view>
#include <vector>

#include "core/tree.hpp"

namespace curfew {

namespace detail {

constinit threads::atomic<observer*> observed_by{nullptr};

void tell_derived(const context& made) noexcept {
  // acquire: pairs with the exchange in set_observer
  if (observer* o = observed_by.load(std::memory_order_acquire)) o->derived(made);
}

void tell_ended(ender_node* n) noexcept {
  if (n->kind == node_kind::link) return;
  if (observer* o = observed_by.load(std::memory_order_acquire)) {
    retain(n);
    o->ended(tree::adopt(n));
  }
}

void tell_destroyed(const node* n) noexcept {
  if (n->kind == node_kind::link || n->kind == node_kind::root) return;
  if (observer* o = observed_by.load(std::memory_order_acquire)) o->destroyed(n);
}

namespace {

/// Where todo() was called. Never destroyed: code may call todo() while statics are.
struct todo_list {
  std::mutex mutex;
  std::vector<std::source_location> places;

  static todo_list& get() {
    static auto* list = new todo_list;
    return *list;
  }
};

bool same(const std::source_location& a, const std::source_location& b) noexcept {
  return a.line() == b.line() && a.column() == b.column() &&
         std::string_view(a.file_name()) == std::string_view(b.file_name());
}

}  // namespace

void remember_todo(std::source_location where) noexcept {
  try {
    todo_list& list = todo_list::get();
    const std::lock_guard guard(list.mutex);
    const auto is_here = [&](const std::source_location& place) { return same(place, where); };
    if (std::ranges::none_of(list.places, is_here)) list.places.push_back(where);
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): no memory: the place stays unknown
  }
}

}  // namespace detail

std::vector<std::source_location> todo_places() {
  detail::todo_list& list = detail::todo_list::get();
  const std::lock_guard guard(list.mutex);
  return list.places;
}

void observer::derived(const context& /*made*/) noexcept {}
void observer::ended(const context& /*which*/) noexcept {}
void observer::destroyed(const void* /*id*/) noexcept {}

const void* context_id(const context& ctx) noexcept { return detail::tree::of(ctx); }

observer* set_observer(observer* next) noexcept {
  return detail::observed_by.exchange(next, std::memory_order_acq_rel);
}

}  // namespace curfew
