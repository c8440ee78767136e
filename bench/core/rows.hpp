#pragma once

#include <stop_token>
#include <vector>

#include "side_by_side.hpp"

namespace curfew::bench {

std::vector<measurement> tree_rows();
std::vector<measurement> callback_rows();
std::vector<measurement> thread_rows();
std::vector<measurement> memory_rows();
std::vector<measurement> waiting_rows();

/// A child of a std::stop_source, made by hand: ends with its parent, or by itself.
struct linked_stop_source {
  struct forward {
    std::stop_source* to;
    void operator()() const noexcept { to->request_stop(); }
  };
  std::stop_source own;
  std::stop_callback<forward> from_parent;

  explicit linked_stop_source(const std::stop_token& parent) : from_parent(parent, forward{&own}) {}
};

}  // namespace curfew::bench
