// What a single thread does to the tree: derive, ask, end, a million of each.

#include "core/rows.hpp"

#include <malloc.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core.hpp>
#include <deque>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

namespace {

using namespace curfew;
using namespace std::chrono_literals;
using bench::hidden;
using bench::keep;
using bench::linked_stop_source;
using bench::nanoseconds_each;
using bench::numbers;

constexpr std::size_t depth = 32;
constexpr std::size_t million = 1'000'000;

/// What the allocator has given out, its own overhead included.
double bytes_in_use() { return static_cast<double>(mallinfo2().uordblks); }

// ---- create and cancel

numbers with_cancel_and_cancel() {
  const auto parent = with_cancel(background());
  return {nanoseconds_each(200'000, [&] {
    [[maybe_unused]] auto scope = with_cancel(parent);
    scope.cancel();
  })};
}

numbers stop_source_and_stop() {
  const std::stop_source parent;
  const std::stop_token token = parent.get_token();
  return {nanoseconds_each(200'000, [&] {
    linked_stop_source child(token);
    child.own.request_stop();
    keep(child);
  })};
}

numbers with_timeout_and_cancel() {
  const auto parent = with_cancel(background());
  return {nanoseconds_each(200'000, [&] {
    [[maybe_unused]] auto scope = with_timeout(parent, 1h);
    scope.cancel();
  })};
}

// ---- err

double err_each(const context& ctx) {
  std::size_t ended = 0;
  const double each = nanoseconds_each(5'000'000, [&] {
    if (hidden(&ctx)->err()) ++ended;
  });
  keep(ended);
  return each;
}

/// err() at depth 1 and 32 of a chain of with_cancel, and under 32 values.
numbers err(bool ended) {
  std::deque<cancel_scope> chain;
  chain.push_back(with_cancel(background()));
  while (chain.size() != depth) chain.push_back(with_cancel(chain.back()));
  static constexpr key<std::size_t> place{"place"};
  context valued = chain.front();
  for (std::size_t i = 0; i != depth; ++i) valued = with_value(valued, place, i);
  if (ended) chain.front().cancel();
  return {err_each(chain.front()), err_each(chain.back()), err_each(valued)};
}

numbers stop_requested(bool stopped) {
  std::stop_source source;
  const std::stop_token token = source.get_token();
  if (stopped) source.request_stop();
  std::size_t seen = 0;
  const double each = nanoseconds_each(5'000'000, [&] {
    if (hidden(&token)->stop_requested()) ++seen;
  });
  keep(seen);
  return {each};
}

// ---- value

template <std::size_t... I>
const auto& make_keys(std::index_sequence<I...>) {
  static const std::array<key<std::size_t>, sizeof...(I)> keys{
      key<std::size_t>((static_cast<void>(I), "one of many"))...};
  return keys;
}

/// Of 32 values: the outermost, the same with a cancel between each two, and one that is not there.
numbers value() {
  const auto& keys = make_keys(std::make_index_sequence<depth + 1>());
  const key<std::size_t>& absent = keys[depth];
  context plain = background();
  context mixed = background();
  std::deque<cancel_scope> between;
  for (std::size_t i = 0; i != depth; ++i) {
    plain = with_value(plain, keys[i], i);
    between.push_back(with_cancel(mixed));
    mixed = with_value(between.back(), keys[i], i);
  }
  const auto look = [](const context& ctx, const key<std::size_t>& key) {
    return nanoseconds_each(500'000, [&] { keep(hidden(&ctx)->value(key)); });
  };
  return {look(plain, keys[0]), look(mixed, keys[0]), look(plain, absent)};
}

// ---- a million

numbers million_children() {
  auto parent = with_cancel(background());
  std::vector<cancel_scope> children;
  children.reserve(million);
  const double before = bytes_in_use();
  const double create = nanoseconds_each(million, [&] { children.push_back(with_cancel(parent)); });
  const double bytes = (bytes_in_use() - before) / million;
  const double cancel = nanoseconds_each(1, [&] { parent.cancel(); }) / million;
  return {create, cancel, bytes};
}

numbers million_stop_sources() {
  std::stop_source parent;
  const std::stop_token token = parent.get_token();
  std::vector<std::optional<linked_stop_source>> children(million);
  const double before = bytes_in_use();
  std::size_t i = 0;
  const double create = nanoseconds_each(million, [&] { children[i++].emplace(token); });
  const double bytes = (bytes_in_use() - before) / million + sizeof(linked_stop_source);
  const double cancel = nanoseconds_each(1, [&] { parent.request_stop(); }) / million;
  return {create, cancel, bytes};
}

numbers million_timeouts() {
  const auto parent = with_cancel(background());
  std::vector<cancel_scope> pending;
  pending.reserve(million);
  const double before = bytes_in_use();
  std::int64_t i = 0;
  const double create = nanoseconds_each(million, [&] {
    pending.push_back(with_timeout(parent, 1h + std::chrono::microseconds(++i * 7919 % 1'000'000)));
  });
  const double bytes = (bytes_in_use() - before) / million;
  std::size_t next = 0;
  const double cancel = nanoseconds_each(million, [&] { pending[next++].cancel(); });
  return {create, cancel, bytes};
}

numbers leave_a_scope() {
  const auto parent = with_cancel(background());
  return {nanoseconds_each(200'000, [&] {
    const auto scope = with_cancel(parent);
    keep(scope);
  })};
}

numbers leave_a_stop_source() {
  const std::stop_source parent;
  const std::stop_token token = parent.get_token();
  return {nanoseconds_each(200'000, [&] {
    const linked_stop_source child(token);
    keep(child);
  })};
}

}  // namespace

std::vector<bench::measurement> bench::tree_rows() {
  return {
      {"with_cancel",
       {{"with_cancel + cancel, live parent", "ns", "Go ≥ 4 ×"}},
       with_cancel_and_cancel,
       stop_source_and_stop},
      {"leave_scope",
       {{"with_cancel, and leave its block without cancel", "ns"}},
       leave_a_scope,
       leave_a_stop_source},
      {"with_timeout",
       {{"with_timeout(1 h) + cancel, live parent", "ns", "Go ≥ 6 ×"}},
       with_timeout_and_cancel},
      {"err_live",
       {{"err(), live, depth 1", "ns", "≤ 0.8 ns"},
        {"err(), live, depth 32", "ns", "≤ 0.8 ns"},
        {"err(), live, under 32 values", "ns", "≤ 0.8 ns"}},
       [] { return err(false); },
       [] { return stop_requested(false); }},
      {"err_ended",
       {{"err(), ended, depth 1", "ns", "≤ 0.8 ns"},
        {"err(), ended, depth 32", "ns", "≤ 0.8 ns"},
        {"err(), ended, under 32 values", "ns", "≤ 0.8 ns"}},
       [] { return err(true); },
       [] { return stop_requested(true); }},
      {"value",
       {{"value at depth 32: hit", "ns", "Go ≥ 3 ×"},
        {"hit, with a cancel between each", "ns", "Go ≥ 3 ×"},
        {"miss", "ns", "Go ≥ 3 ×"}},
       value},
      {"million_children",
       {{"1,000,000 children of one parent: create, each", "ns", "Go ≥ 6 ×"},
        {"cancel of the parent, per child", "ns", "Go ≥ 15 ×"},
        {"memory per child", "B", "≤ 96 B"}},
       million_children,
       million_stop_sources},
      {"million_timeouts",
       {{"1,000,000 pending timeouts: create, each", "ns", "Go ≥ 8 ×"},
        {"own cancel, each", "ns", "Go ≥ 6 ×"},
        {"memory per timeout", "B", "≤ 128 B"}},
       million_timeouts},
  };
}
