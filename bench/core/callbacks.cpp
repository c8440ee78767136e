// Who is told of an end: callbacks, an observer.

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <curfew/core.hpp>
#include <deque>
#include <stop_token>
#include <vector>

#include "core/rows.hpp"

namespace {

using namespace curfew;
using bench::keep;
using bench::nanoseconds_each;
using bench::numbers;
namespace asio = boost::asio;

constexpr std::size_t registrations = 1'000'000;
constexpr std::size_t ends = 20'000;

/// Runs `measure` where Asio's programs run: there it keeps the memory of handlers for the next ones.
template <class Measure>
numbers inside_io_context(Measure measure) {
  asio::io_context io(1);
  numbers result;
  asio::post(io, [&] { result = measure(); });
  io.run();
  return result;
}

// ---- register and remove

numbers on_done_register_and_remove() {
  const auto scope = with_cancel(background());
  int runs = 0;
  return {nanoseconds_each(registrations, [&] {
    const on_done callback(scope, [&runs] { ++runs; });
    keep(callback);
  })};
}

numbers stop_callback_register_and_remove() {
  const std::stop_source source;
  const std::stop_token token = source.get_token();
  int runs = 0;
  return {nanoseconds_each(registrations, [&] {
    const std::stop_callback callback(token, [&runs] { ++runs; });
    keep(callback);
  })};
}

numbers slot_assign_and_clear() {
  return inside_io_context([] {
    asio::cancellation_signal signal;
    int runs = 0;
    return numbers{nanoseconds_each(registrations, [&] {
      asio::cancellation_slot slot = signal.slot();
      slot.assign([&runs](asio::cancellation_type) { ++runs; });
      keep(signal);
      slot.clear();
    })};
  });
}

// ---- an end with one callback: the ends of many that were prepared before, until their callbacks have run

numbers end_with_on_done() {
  std::size_t runs = 0;
  const auto count = [&runs] { ++runs; };
  std::deque<cancel_scope> scopes;
  std::deque<on_done<decltype(count)>> callbacks;
  for (std::size_t i = 0; i != ends; ++i) {
    scopes.push_back(with_cancel(background()));
    callbacks.emplace_back(scopes.back(), count);
  }
  auto next = scopes.begin();
  const double each = nanoseconds_each(ends, [&] { (next++)->cancel(); });
  return {bench::check(runs == ends, each)};
}

numbers end_with_stop_callback() {
  std::size_t runs = 0;
  const auto count = [&runs] { ++runs; };
  std::deque<std::stop_source> sources;
  std::deque<std::stop_callback<decltype(count)>> callbacks;
  for (std::size_t i = 0; i != ends; ++i) {
    sources.emplace_back();
    callbacks.emplace_back(sources.back().get_token(), count);
  }
  auto next = sources.begin();
  const double each = nanoseconds_each(ends, [&] { (next++)->request_stop(); });
  return {bench::check(runs == ends, each)};
}

numbers emit_to_one_slot() {
  return inside_io_context([] {
    std::size_t runs = 0;
    std::deque<asio::cancellation_signal> signals;
    for (std::size_t i = 0; i != ends; ++i) {
      signals.emplace_back();
      signals.back().slot().assign([&runs](asio::cancellation_type) { ++runs; });
    }
    auto next = signals.begin();
    const double each = nanoseconds_each(ends, [&] { (next++)->emit(asio::cancellation_type::terminal); });
    return numbers{bench::check(runs == ends, each)};
  });
}

// ---- an observer

/// with_cancel + cancel without an observer, and with one that does nothing; in turns within the round.
numbers observed() {
  observer nothing;
  constexpr std::size_t slices = 10;
  const auto parent = with_cancel(background());
  const auto derive_and_cancel = [&] {
    return nanoseconds_each(200'000 / slices, [&] {
      [[maybe_unused]] auto scope = with_cancel(parent);
      scope.cancel();
    });
  };
  double off = 0;
  double on = 0;
  for (std::size_t i = 0; i != slices; ++i) {
    off += derive_and_cancel() / slices;
    const observation watch(nothing);
    on += derive_and_cancel() / slices;
  }
  return {off, on};
}

}  // namespace

std::vector<bench::measurement> bench::callback_rows() {
  return {
      {"on_done",
       {{"on_done register + remove (Asio: a slot's assign + clear, for one thread)", "ns",
         "Go ≥ 4 ×, standard library ≥ 1 ×"}},
       on_done_register_and_remove,
       stop_callback_register_and_remove,
       slot_assign_and_clear},
      {"end_with_callback",
       {{"cancel with one on_done, until it has run (Asio: emit, for one thread)", "ns"}},
       end_with_on_done,
       end_with_stop_callback,
       emit_to_one_slot},
      {.name = "observer",
       .rows = {{"with_cancel + cancel, no observer", "ns"},
                {"the same, with an observer that does nothing", "ns"}},
       .ours = observed,
       .has_peer = false},
  };
}
