#include <array>
#include <cmath>
#include <cstdio>
#include <curfew/core/context.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/tree.hpp"

namespace curfew {

namespace detail {

// The bits of a rough_duration: 15: asked for as a point in time; 14..9: the exponent; 8..0: the mantissa
// without its leading one. An exponent of 0 stands for the numbers below 511, plus one: all bits 0 say that
// nothing was asked for.
rough_duration rough(nanoseconds d, bool by_deadline) noexcept {
  constexpr std::uint64_t leading = 1U << 9U;
  auto left = static_cast<std::uint64_t>(d > 0 ? d : 0);
  unsigned exponent = 0;
  if (left < leading - 1) {
    ++left;
  } else {
    exponent = 1;
    if (left < leading) left = leading;
    if (const unsigned width = 64U - static_cast<unsigned>(__builtin_clzll(left)); width > 10) {
      const unsigned shift = width - 10;
      left = (left + (std::uint64_t{1} << (shift - 1))) >>
             shift;  // rounded: three digits come out as they went in
      exponent += shift;
      if (left == 2 * leading) {
        left = leading;
        ++exponent;
      }
    }
    left -= leading;
  }
  return {static_cast<std::uint16_t>((by_deadline ? 1U << 15U : 0U) | exponent << 9U |
                                     static_cast<unsigned>(left))};
}

namespace {

bool is_by_deadline(rough_duration d) noexcept { return (d.bits >> 15U) != 0; }

}  // namespace

std::string as_text(rough_duration d) {
  const unsigned exponent = (d.bits >> 9U) & 63U;
  const double mantissa = d.bits & 511U;
  const double ns = exponent == 0 ? mantissa - 1 : std::ldexp(mantissa + 512, static_cast<int>(exponent) - 1);
  if (ns == 0) return "0s";
  struct unit {
    double size;
    const char* name;
  };
  static constexpr std::array<unit, 6> units{
      {{3.6e12, "h"}, {6e10, "min"}, {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}}};
  const unit* u = units.data();
  while (u->size > 1 && ns < u->size * 0.9995) ++u;
  std::array<char, 48> text{};
  const double amount = ns / u->size;
  std::snprintf(text.data(), text.size(), amount < 1000 ? "%.3g%s" : "%.0f%s", amount, u->name);
  return text.data();
}

namespace {

/// A value in quotes, on one line and not too long.
std::string in_quotes(std::string_view value) {
  constexpr std::size_t most = 80;
  const bool cut = value.size() > most;
  std::string text = "\"";
  for (const char c : value.substr(0, most)) {
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      std::array<char, 8> code{};
      std::snprintf(code.data(), code.size(), "\\x%02x",
                    static_cast<unsigned>(static_cast<unsigned char>(c)));
      text += code.data();
    } else {
      text += c;
    }
  }
  return text += cut ? "…\"" : "\"";
}

std::string step(const node* n) {
  switch (n->kind) {
    case node_kind::immortal_root:
      return n == tree::of(background()) ? "background" : "todo";
    case node_kind::root:
      return "background";
    case node_kind::cancel:
    case node_kind::deadline:
      if (n->kind == node_kind::cancel && n->asked.bits == 0) return ".with_cancel";
      return (is_by_deadline(n->asked) ? ".with_deadline(in " : ".with_timeout(") + as_text(n->asked) + ")";
    case node_kind::idle:
      return ".with_idle_timeout(" + as_text(n->asked) + ")";
    case node_kind::merged:
      return ".merge(" + std::to_string(static_cast<const merged_node*>(n)->others.size()) + " more)";
    case node_kind::value: {
      const auto* v = static_cast<const value_node*>(n);
      std::string text = std::string(".with_value(") + v->key->name;
      if (v->key->print != nullptr) text += "=" + in_quotes(v->key->print(v->object));
      return text + ")";
    }
    case node_kind::detached:
      return ".without_cancel";
    case node_kind::link:
      break;
  }
  return {};
}

}  // namespace

}  // namespace detail

std::string context::path() const {
  constexpr std::size_t most = 32;         // steps
  std::vector<const detail::node*> steps;  // a ring of the last ones seen, which are the outermost
  std::size_t depth = 0;
  for (const detail::node* n = node_; n != nullptr; n = n->parent, ++depth) {
    if (steps.size() < most) {
      steps.push_back(n);
    } else {
      steps[most / 2 + (depth - most / 2) % (most / 2)] = n;
    }
  }
  std::string text;
  const auto at = [&](std::size_t below) {  // the step that is `below` steps above this context
    return steps[below < most / 2 ? below : most / 2 + (below - most / 2) % (most / 2)];
  };
  for (std::size_t below = depth; below-- != 0;) {
    if (depth > most && below >= most / 2 && below < depth - most / 2) {
      text += ".(" + std::to_string(depth - most) + " more)";
      below = most / 2;
      continue;
    }
    text += detail::step(at(below));
  }
  return text;
}

}  // namespace curfew
