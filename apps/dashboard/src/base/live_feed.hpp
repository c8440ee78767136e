#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/http/message.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/change_hub.hpp"

namespace curfew_dashboard {

/// A view of something that changes, at one moment.
struct live_view {
  std::string json;
  bool moving = false;  ///< It changes by itself: ages, CPU times.
};

/// Server-sent events that show a view to any number of viewers: at once, on each change (at most every
/// 100 ms), and each second while the view moves. The view is made and serialised once for all viewers.
///
/// Lifetime:      outlives its streams; `hub` outlives it.
/// Thread safety: any thread.
class live_feed {
 public:
  /// \param name  Of the events.
  /// \param look  Makes the view; called by the thread of one of the viewers, by one at a time.
  live_feed(change_hub& hub, std::string name, std::function<live_view()> look);

  /// Writes the events for one viewer.
  /// Completes when:  ctx ends, or the viewer has gone.
  boost::asio::awaitable<void> async_stream(curfew::context ctx, curfew::http::body_writer out);

 private:
  struct frame {
    std::string event;
    bool moving = false;
    std::uint64_t changes = 0;  // of the hub, before the view was made
    curfew::clock::time_point at;
  };

  /// The newest frame; a new one if the last is out of date and old enough.
  [[nodiscard]] std::shared_ptr<const frame> newest(curfew::clock::time_point now);

  change_hub& hub_;
  const std::string name_;
  const std::function<live_view()> look_;
  std::mutex mutex_;  // held while the view is made: the other viewers need the same one
  // Guarded by mutex_. Weak: without viewers no frame is kept.
  std::weak_ptr<const frame> last_;
};

}  // namespace curfew_dashboard
