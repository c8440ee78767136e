#pragma once

#include <string>
#include <string_view>

namespace curfew::sql {

/// What a batch is called where a statement has its text.
inline constexpr std::string_view a_batch = "a batch";

/// "select id, name from users where …": in one line, without what may be long.
[[nodiscard]] std::string shortened(std::string_view text);

}  // namespace curfew::sql
