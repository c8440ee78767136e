#pragma once

#include <curfew/sql/parameters.hpp>
#include <curfew/sql/pool.hpp>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace curfew::sql::postgres {

/// The settings that calls want for their statements, as far as the server of a connection has been told of them.
class told_settings {
 public:
  struct change {
    std::string text;  // of the statement that makes it
    parameters values;
  };

  /// What tells it of these, and resets the others; none if it knows. Until done() those that change are uncertain.
  [[nodiscard]] std::optional<change> begin(const session_settings& wanted);
  /// The change has been made.
  void done(const session_settings& wanted);
  /// The server has refused the change, and made none of it.
  void refused() noexcept { known_ = std::move(before_); }

 private:
  using settings = std::map<std::string, std::optional<std::string>>;

  settings known_;   // no value: uncertain
  settings before_;  // the change
};

}  // namespace curfew::sql::postgres
