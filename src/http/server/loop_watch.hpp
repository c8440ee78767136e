#pragma once

#include <condition_variable>
#include <cstddef>
#include <curfew/core/clock.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "http/server/worker.hpp"

namespace curfew::http {

struct server_state;

/// Notices handlers that hold their thread. A thread of its own asks the loop of each worker that has a request
/// under way for a sign, and says which handler runs where none comes.
///
/// Cost: nothing per request; per half of `max_hold` one posted function for each worker with a request under way.
/// While the server has no connection the thread sleeps.
/// A hold of `max_hold` may go unnoticed, since it is measured from the question on; one and a half times as
/// long does not.
class loop_watch {
 public:
  /// Throws: std::system_error.
  loop_watch(server_state& server, const std::vector<std::unique_ptr<worker>>& workers);
  loop_watch(const loop_watch&) = delete;
  loop_watch& operator=(const loop_watch&) = delete;
  ~loop_watch();

 private:
  /// What is known of one worker's loop.
  struct watched_loop {
    worker* of;
    bool asked = false;  // and not answered yet
    bool told = false;   // a line has been written for this hold
    clock::time_point since{};
    std::string holder;
  };

  void run();
  void look(watched_loop& at);
  void tell(const watched_loop& what, clock::duration held, bool still);

  server_state& server_;
  const clock::duration limit_;
  std::vector<watched_loop> loops_;
  clock::time_point quiet_until_{};  // no line before: one a second
  std::size_t left_out_ = 0;
  bool stopping_ = false;  // guarded by server_.watch_mutex
  std::thread thread_;
};

}  // namespace curfew::http
