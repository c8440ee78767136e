#pragma once

#include <chrono>
#include <cstdint>
#include <curfew/http/fields.hpp>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace curfew::http {

/// The tag of a version that these numbers tell from others: "\"5f-12\"", in hexadecimal digits.
[[nodiscard]] std::string entity_tag(std::initializer_list<std::uint64_t> of);

/// What is asked for, as it is now.
struct representation {
  std::string_view tag;  ///< Strong: "\"5f-12\"".
  std::optional<std::chrono::sys_seconds> changed;
};

/// What the conditions of a request say (RFC 9110, section 13.2.2).
enum class condition { holds, not_modified, failed };
/// \param reads  The method is GET or HEAD.
[[nodiscard]] condition judge_conditions(const fields& of, const representation& now, bool reads);

/// A part that is asked for, of what has a size.
struct byte_range {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  ///< 0: there is no such part.
};
/// The one range that a GET asks for. None: all of it, also where several are asked for, Range says nothing that can be read,
/// or If-Range names another version.
[[nodiscard]] std::optional<byte_range> asked_range(const fields& of, const representation& now,
                                                    std::uint64_t size);

}  // namespace curfew::http
