#pragma once

#include <string>

namespace curfew::remote {

/// A name that nothing else has, and that cannot be guessed: 20 characters of base64url.
/// Throws: std::system_error where there are no random numbers.
[[nodiscard]] std::string random_name();

}  // namespace curfew::remote
