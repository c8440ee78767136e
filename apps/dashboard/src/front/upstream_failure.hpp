#pragma once

#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/message.hpp>
#include <string>

#include "base/panel_lines.hpp"
#include "front/panel.hpp"

namespace curfew_dashboard {

/// Says what went wrong between the front and what a panel shows, in sentences for people.
class upstream_failure {
 public:
  /// \param ctx     That of the exchange, which has the budget as its deadline.
  /// \param budget  The visitor's.
  upstream_failure(curfew::context ctx, const panel& whose, curfew::clock::duration budget);

  /// If the budget is used up, that is the reason, whatever else went wrong; else `otherwise`.
  [[nodiscard]] failure unless_late(failure otherwise) const;

  [[nodiscard]] failure from(const curfew::error& e) const;
  /// A status that is not 200, with a body that may say why.
  [[nodiscard]] failure from(const curfew::http::response& head, const std::string& body) const;
  [[nodiscard]] failure too_large() const;
  [[nodiscard]] failure garbage() const;
  [[nodiscard]] failure truncated() const;

 private:
  curfew::context ctx_;
  bool is_service_;
  std::size_t limit_;
  std::string subject_;  // "the disk service"
  std::string capital_;  // "The disk service"
  curfew::clock::duration budget_;
};

}  // namespace curfew_dashboard
