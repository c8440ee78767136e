#include "remote/news.hpp"

#include <algorithm>
#include <charconv>
#include <curfew/core/errc.hpp>
#include <curfew/redis/errc.hpp>
#include <curfew/remote/errc.hpp>

namespace curfew::remote {

namespace {

constexpr std::size_t max_text = 160;
constexpr std::size_t max_category = 40;

/// Up to the first `separator`, which is taken, too.
std::string_view take_until(std::string_view& from, char separator) noexcept {
  const auto at = std::min(from.find(separator), from.size());
  const auto taken = from.substr(0, at);
  from.remove_prefix(std::min(at + 1, from.size()));
  return taken;
}

template <class Number>
bool read_number(std::string_view text, Number& into) noexcept {
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), into);
  return wrong == std::errc() && end == text.data() + text.size();
}

/// Cut between two characters of UTF-8, and without an end of a line.
std::string in_one_line(std::string text, std::size_t size) {
  if (text.size() > size) {
    constexpr auto is_inside = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; };
    while (size > 0 && is_inside(text[size])) --size;
    text.resize(size);
  }
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return text;
}

/// One word.
std::string name_of(const std::error_category& of) {
  std::string name = in_one_line(of.name(), max_category);
  std::ranges::replace(name, ' ', '_');
  return name;
}

const std::error_category* find_category(std::string_view name,
                                         std::span<const std::error_category* const> known) {
  for (const auto* each : {&curfew_category(), &remote_category(), &redis::redis_category(),
                           &std::generic_category(), &std::system_category()}) {
    if (name_of(*each) == name) return each;
  }
  const auto found = std::ranges::find_if(known, [name](const auto* each) { return name_of(*each) == name; });
  return found != known.end() ? *found : nullptr;
}

}  // namespace

std::string end_text(const context& ended) {
  const auto why = ended.cause();
  const auto code = why.code();
  const std::string category = code ? name_of(code.category()) : "-";
  return (ended.err() == curfew::errc::deadline_exceeded ? "d " : "c ") + category + ' ' +
         std::to_string(code.value()) + ' ' + in_one_line(why.message(), max_text);
}

std::optional<read_end> parse_end(std::string_view line, std::span<const std::error_category* const> known) {
  read_end read;
  const auto kind = take_until(line, ' ');
  if (kind != "c" && kind != "d") return std::nullopt;
  read.by_deadline = kind == "d";
  const auto category = take_until(line, ' ');
  int value = 0;
  if (category.empty() || !read_number(take_until(line, ' '), value)) return std::nullopt;
  const auto* of = find_category(category, known);
  const std::error_code code = of != nullptr ? std::error_code(value, *of) : std::error_code();
  read.why = cause(code, code && code.message() == line ? std::string_view() : line);
  return read;
}

std::optional<news> parse_news(std::string_view payload) {
  news read;
  auto head = take_until(payload, '\n');
  std::chrono::milliseconds::rep lease = 0;
  if (!read_number(take_until(head, ' '), read.count) || !read_number(head, lease) || lease < 0)
    return std::nullopt;
  read.lease = std::chrono::milliseconds(lease);
  while (!payload.empty()) {
    auto line = take_until(payload, '\n');
    news::one_end end;
    if (!read_number(take_until(line, ' '), end.number)) return std::nullopt;
    end.text = line;
    read.ends.push_back(end);
  }
  return read;
}

}  // namespace curfew::remote
