#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/sync/channel.hpp>
#include <variant>

#include "console.hpp"
#include "process_view.hpp"

namespace curfew_program {

/// Wakes a coroutine. Rings while it does not wait are one.
class bell {
 public:
  void ring() { static_cast<void>(waiting_.try_send(std::monostate())); }
  [[nodiscard]] auto ringing() noexcept { return waiting_.receiving(); }

 private:
  curfew::channel<std::monostate> waiting_{1};
};

/// Keeps `view` up to date by the console's stream of events, and rings at each change. A console that goes away, says
/// nothing for 10 s, or sends what is not to be believed, is tried again, after a time that grows to 5 s.
/// Completes when: ctx ends.
/// Lifetime:       all outlive it.
asio::awaitable<void> follow(curfew::context ctx, console& of, process_view& view, bell& changed);

}  // namespace curfew_program
