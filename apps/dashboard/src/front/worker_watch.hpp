#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/redis/client.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/change_hub.hpp"
#include "front/request_tree.hpp"

namespace curfew_dashboard {

namespace asio = boost::asio;

/// The workers that were heard, by what they say of themselves.
class heard_workers {
 public:
  using time_point = curfew::clock::time_point;

  /// \param boot_id  Of this machine. The times of a worker on another one are shifted to this one's clock.
  explicit heard_workers(std::string boot_id) : boot_id_(std::move(boot_id)) {}

  /// Takes a snapshot that came at `now`. It is not trusted: what is none is left out.
  void take(std::string_view snapshot, time_point now);
  /// One that has been silent for 3 s is shown as gone, and is dropped after 10 s.
  [[nodiscard]] std::vector<service_view> look(time_point now) const;

 private:
  struct heard {
    json::object snapshot;
    time_point at;
  };

  std::string boot_id_;
  std::map<std::string, heard> workers_;  // by name
};

/// Follows the workers of a Redis.
/// Thread safety: any thread.
class worker_watch {
 public:
  /// \param changes  Notified when one was heard; outlives the watch.
  /// Throws: std::system_error if the URL is none.
  worker_watch(const std::string& redis, change_hub& changes);

  /// Forgets what was heard before: from now on they are followed.
  void begin();
  /// Follows them until ctx ends.
  static asio::awaitable<void> async_follow(std::shared_ptr<worker_watch> self, curfew::context ctx);

  /// What was heard; if Redis cannot be heard, that too.
  [[nodiscard]] std::vector<service_view> look() const;
  /// Waits until each worker was heard that lives, if they are followed. Completes when ctx ends, too.
  asio::awaitable<void> async_wait_for_all(curfew::context ctx) const;

 private:
  asio::awaitable<std::string> follow_once(curfew::context ctx);

  curfew::redis::client client_;
  change_hub& changes_;

  mutable std::mutex mutex_;
  heard_workers heard_;              // guarded by mutex_, as all below
  std::string away_;                 // why Redis cannot be heard; empty: it can
  curfew::clock::time_point begun_;  // following them
};

}  // namespace curfew_dashboard
