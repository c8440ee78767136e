#pragma once

#include <curfew/http/message.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/status.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::inspect {

/// Why a request is not let in.
struct refusal {
  http::status status;
  std::string_view message;
};

/// The gate of a console: no page from elsewhere can read or change anything.
///
/// A page of another site is seen by its Origin or Sec-Fetch-Site. One that has given its own name our address looks like
/// one of ours, but it calls us by that name: so the name has to be known. An address in digits is no name.
class gate {
 public:
  explicit gate(std::vector<std::string> names);

  [[nodiscard]] std::optional<refusal> operator()(const http::request& request) const;

 private:
  [[nodiscard]] bool is_known(std::string_view host) const;

  std::vector<std::string> names_;  // lower case
};

/// Compares in a time that does not depend on where they differ.
[[nodiscard]] bool same_secret(std::string_view a, std::string_view b) noexcept;

/// `{"error": message}`
[[nodiscard]] http::response refuse(http::status status, std::string_view message);

}  // namespace curfew::inspect
