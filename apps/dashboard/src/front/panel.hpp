#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "front/service_process.hpp"

namespace curfew_dashboard {

enum class panel_kind { vitals, packages, disk, source };

/// One panel of the page, and where its data comes from.
struct panel {
  std::string name;
  std::string title;
  panel_kind kind = panel_kind::source;
  std::shared_ptr<service_process> service;  ///< Null for a source.
  std::string url;                           ///< Of a source.

  /// The most that is taken of an answer, in bytes. A source may be hostile, and parsed JSON takes more room
  /// than its text.
  [[nodiscard]] std::size_t limit() const noexcept { return (service ? 8U : 1U) * 1024 * 1024; }
  /// Does it come as lines, with progress?
  [[nodiscard]] bool streaming() const noexcept {
    return kind == panel_kind::packages || kind == panel_kind::disk;
  }
  /// In sentences: "the disk service", "weather".
  [[nodiscard]] std::string subject() const { return service ? "the " + name + " service" : name; }
};

}  // namespace curfew_dashboard
