#include "http/message/trace_fields.hpp"

#include "http/message/syntax.hpp"

namespace curfew::http {

namespace {

constexpr std::size_t most_state = 512;  // beyond that the standard lets go of it

}  // namespace

std::optional<trace_context> read_trace(const fields& from) {
  const auto parent = from.find(trace_field);
  if (!parent || from.count(trace_field) != 1) return std::nullopt;
  auto read = trace_context::parse(*parent);
  if (!read) return std::nullopt;
  for (const auto& [name, value] : from) {
    if (!same_name(name, trace_state_field) || value.empty()) continue;
    if (!read->state.empty()) read->state += ',';
    read->state += value;
  }
  if (read->state.size() > most_state) read->state.clear();
  return read;
}

std::optional<trace_fields> trace_to_send(const context& ctx, std::uint64_t call) {
  const auto* found = ctx.value(trace);
  if (found == nullptr && call == 0) return std::nullopt;
  trace_context part_of = found != nullptr ? *found : trace_context::begin();
  if (call != 0) part_of.span = call;
  // Where nothing names the caller, any number will do but 0.
  if (part_of.span == 0) part_of.span = part_of.id_low != 0 ? part_of.id_low : part_of.id_high;
  trace_fields made{part_of.traceparent(), {}};
  if (is_field_value(part_of.state)) made.state = std::move(part_of.state);
  return made;
}

}  // namespace curfew::http
