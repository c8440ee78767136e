#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace curfew::remote {

/// RFC 4648, section 5, without padding.
[[nodiscard]] std::string to_base64url(std::string_view bytes);
/// None if it is not what `to_base64url` writes: another character, a length that cannot be, bits that are not zero.
[[nodiscard]] std::optional<std::string> from_base64url(std::string_view text);

}  // namespace curfew::remote
