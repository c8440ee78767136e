#pragma once

#include <span>
#include <string>
#include <string_view>

namespace curfew::redis {

/// Words as Redis takes them: `*1\r\n$4\r\nPING\r\n`.
/// Throws: std::length_error, std::bad_alloc.
[[nodiscard]] std::string format(std::span<const std::string_view> words);

}  // namespace curfew::redis
