#pragma once

#include <cstdint>
#include <curfew/core/key.hpp>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

namespace curfew {

/// What work is part of, across processes, as W3C Trace Context says it (https://www.w3.org/TR/trace-context/):
///
///     if (const auto* of = ctx.value(curfew::trace)) std::clog << "trace " << of->id() << '\n';
///
/// The http server puts it into the context of a request: what the field `traceparent` says, or a new one while inspection
/// is on. The http client sends it on. For other ways between processes, `traceparent()` and `parse()` are its text.
///
/// Thread safety: a value, as a std::string.
struct trace_context {
  std::uint64_t id_high = 0;  ///< The halves of the trace-id; not both 0.
  std::uint64_t id_low = 0;
  /// The parent-id: the task, or the call from another process, that work under the context belongs to; 0: none.
  std::uint64_t span = 0;
  std::uint8_t flags = 0;  ///< trace-flags; 1: sampled.
  std::string state;       ///< `tracestate`, as it came.

  /// A new trace, with a random id; sampled.
  /// Throws: std::system_error where the system has no random numbers.
  [[nodiscard]] static trace_context begin();
  /// What a `traceparent` says; none if it is malformed.
  [[nodiscard]] static std::optional<trace_context> parse(std::string_view traceparent) noexcept;

  /// 32 hex digits.
  [[nodiscard]] std::string id() const;
  /// The text of a `traceparent`. `span` must not be 0.
  [[nodiscard]] std::string traceparent() const;
};

/// Prints the id.
std::ostream& operator<<(std::ostream& out, const trace_context& of);

/// Where a context has it.
inline constexpr key<trace_context> trace{"trace", show_value};

}  // namespace curfew
