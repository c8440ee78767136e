#pragma once

/// What the snippets of core may name.

#include <curfew/core.hpp>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "docs/common.hpp"

namespace docs {

struct connection {
  void close() noexcept;
};

struct photo {
  [[nodiscard]] std::string name() const;
};

struct frames : curfew::time_source {
  void next_frame();
};

extern const curfew::context request;
extern const curfew::context shutdown;
extern const std::string question;
extern const std::shared_ptr<frames> game_time;
extern connection socket;
extern std::mutex mutex_;
extern std::unique_ptr<int> ends_;

void answer(const curfew::context& ctx, const std::string& question);
bool copy_some(const curfew::context& ctx);
void work(const curfew::context& ctx);

}  // namespace docs
