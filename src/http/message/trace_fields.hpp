#pragma once

#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/trace.hpp>
#include <curfew/http/fields.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace curfew::http {

inline constexpr std::string_view trace_field = "traceparent";
inline constexpr std::string_view trace_state_field = "tracestate";

/// What a server reads; none without one, or where it is malformed.
[[nodiscard]] std::optional<trace_context> read_trace(const fields& from);

struct trace_fields {
  std::string parent;
  std::string state;  // empty: none
};

/// What a client sends for `ctx`; none if it is part of no trace.
/// \param call  The id of the call's task; 0: it has none, and the call is part of what the caller is part of.
[[nodiscard]] std::optional<trace_fields> trace_to_send(const context& ctx, std::uint64_t call);

}  // namespace curfew::http
