#pragma once

#include <curfew/core/clock.hpp>
#include <curfew/sql/error.hpp>
#include <string>

namespace curfew::sql::postgres {

/// What a URL says.
struct address {
  std::string shown;  ///< "app on 127.0.0.1:5432"; a password is not told.
  clock::duration connect_timeout = clock::duration::zero();
};

/// Errors: errc::bad_url.
[[nodiscard]] result<address> parse_url(const std::string& url);

}  // namespace curfew::sql::postgres
