#include "http/message/conditions.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "http/message/http_date.hpp"
#include "http/message/syntax.hpp"

namespace curfew::http {

namespace {

/// Is `tag` among those of the list? A weak one is never the same as another, unless that is enough.
bool names_tag(std::string_view list, std::string_view tag, bool weak_is_enough) {
  return any_item(list, [&](std::string_view item) {
    if (weak_is_enough && item.starts_with("W/")) item.remove_prefix(2);
    return item == tag || item == "*";
  });
}

/// Has it changed after the date of that field? None: there is no such field, or nobody knows.
std::optional<bool> changed_after(const fields& of, std::string_view field, const representation& now) {
  const auto text = of.find(field);
  if (!text || !now.changed) return std::nullopt;
  const auto when = parse_http_date(*text);
  if (!when) return std::nullopt;
  return *now.changed > *when;
}

bool is_same_version(std::string_view if_range, const representation& now) {
  if (if_range.ends_with('"')) return if_range == now.tag;  // a weak one is another
  const auto when = parse_http_date(if_range);
  return when && now.changed == when;
}

/// A number of any length; one that does not fit is as large as can be.
std::optional<std::uint64_t> position(std::string_view digits) {
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  return parse_number<std::uint64_t>(digits).value_or(std::numeric_limits<std::uint64_t>::max());
}

}  // namespace

std::string entity_tag(std::initializer_list<std::uint64_t> of) {
  std::string tag = "\"";
  std::array<char, 16> digits{};
  for (const std::uint64_t each : of) {
    if (tag.size() > 1) tag += '-';
    tag.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), each, 16).ptr);
  }
  return tag + '"';
}

condition judge_conditions(const fields& of, const representation& now, bool reads) {
  if (const auto any = of.find("If-Match")) {
    if (!names_tag(*any, now.tag, false)) return condition::failed;
  } else if (changed_after(of, "If-Unmodified-Since", now) == true) {
    return condition::failed;
  }
  if (const auto none = of.find("If-None-Match")) {
    if (names_tag(*none, now.tag, true)) return reads ? condition::not_modified : condition::failed;
  } else if (reads && changed_after(of, "If-Modified-Since", now) == false) {
    return condition::not_modified;
  }
  return condition::holds;
}

std::optional<byte_range> asked_range(const fields& of, const representation& now, std::uint64_t size) {
  const auto text = of.find("Range");
  if (!text) return std::nullopt;
  constexpr std::string_view unit = "bytes=";
  if (!same_name(text->substr(0, unit.size()), unit)) return std::nullopt;
  const std::string_view range = trimmed(text->substr(unit.size()));
  const auto dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  if (const auto only_for = of.find("If-Range"); only_for && !is_same_version(*only_for, now))
    return std::nullopt;
  const auto first = position(range.substr(0, dash));
  const auto last = position(range.substr(dash + 1));
  if (dash == 0) {
    if (!last) return std::nullopt;
    const auto length = std::min(*last, size);
    return byte_range{size - length, length};
  }
  if (!first || (!last && dash + 1 != range.size()) || (last && *last < *first)) return std::nullopt;
  if (*first >= size) return byte_range{};
  return byte_range{*first, std::min(last.value_or(size - 1), size - 1) - *first + 1};
}

}  // namespace curfew::http
