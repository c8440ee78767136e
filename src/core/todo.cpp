#include <algorithm>
#include <curfew/core/context.hpp>
#include <exception>
#include <mutex>
#include <source_location>
#include <string_view>
#include <vector>

#include "core/tree.hpp"

namespace curfew {

namespace detail {

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

}  // namespace curfew
