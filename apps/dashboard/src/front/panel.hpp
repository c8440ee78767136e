#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "front/service_process.hpp"

namespace curfew_dashboard {

enum class panel_kind { vitals, packages, disk, source };

/// One panel of the page, and whom its data comes from.
struct panel {
  std::string name;
  std::string title;
  panel_kind kind = panel_kind::source;
  std::shared_ptr<service_process> service;  ///< Null for a source.
  std::string url;                           ///< Of a source.

  /// Does it come as lines, with progress?
  [[nodiscard]] bool streaming() const noexcept {
    return kind == panel_kind::packages || kind == panel_kind::disk;
  }
  /// In sentences: "the disk service", "weather".
  [[nodiscard]] std::string subject() const { return service ? "the " + name + " service" : name; }
};

/// The most that a panel takes from whoever it shows, in bytes.
inline constexpr std::size_t panel_limit = 8 * 1024 * 1024;

}  // namespace curfew_dashboard
