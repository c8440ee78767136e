#pragma once

#include <curfew/sql/parameters.hpp>
#include <curfew/sql/pool.hpp>
#include <map>
#include <optional>
#include <string>

namespace curfew::sql::postgres {

/// What the server knows of the settings that calls want for their statements.
class told_settings {
 public:
  struct change {
    std::string text;  // of the statement that makes it
    parameters values;
  };

  /// What has the server know these and no others; nothing if it does. Until done() they are not certain.
  [[nodiscard]] std::optional<change> begin(const session_settings& wanted);
  /// The change has been made.
  void done(const session_settings& wanted);

 private:
  std::map<std::string, std::optional<std::string>> known_;  // none: it may have any value
};

}  // namespace curfew::sql::postgres
