#pragma once

#include <curfew/core/clock.hpp>
#include <curfew/sql/error.hpp>
#include <string>
#include <vector>

namespace curfew::sql::postgres {

/// One of the servers that a URL names. What is empty is as the URL, or libpq, says.
struct host {
  std::string name;
  std::string numeric;  ///< `hostaddr`.
  std::string port;

  [[nodiscard]] bool says_nothing() const noexcept { return name.empty() && numeric.empty(); }
  /// It is a name that has to be looked up, no address, and no path of a socket.
  [[nodiscard]] bool is_looked_up() const noexcept {
    return numeric.empty() && !name.empty() && !name.starts_with('/') && !name.starts_with('@');
  }
};

/// What a URL says.
struct address {
  std::string shown;  ///< "app on 127.0.0.1:5432"; a password is not told.
  clock::duration connect_timeout = clock::duration::zero();  ///< Of each host. Zero: none.
  std::vector<host> hosts;                                    ///< In their order; one at least.
  bool in_any_order = false;                                  ///< `load_balance_hosts=random`
  bool prefers_standby = false;  ///< `target_session_attrs=prefer-standby`, of hosts that it names
};

/// Errors: errc::bad_url.
[[nodiscard]] result<address> parse_url(const std::string& url);

}  // namespace curfew::sql::postgres
