#pragma once

#include <string>
#include <string_view>

namespace curfew::sql {

/// "select id, name from users where …": in one line, without what may be long.
[[nodiscard]] std::string shortened(std::string_view text);

}  // namespace curfew::sql
