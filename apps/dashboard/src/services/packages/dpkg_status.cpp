#include "services/packages/dpkg_status.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/text.hpp"

namespace curfew_dashboard {

namespace {

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

/// Takes what stands before the next `separator` off `text`.
std::string_view take_until(std::string_view& text, char separator) {
  const auto part = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return part;
}

/// "libc6:any (>= 2.34)" names libc6.
std::string package_name(std::string_view relation) {
  relation = trimmed(relation);
  return to_utf8(relation.substr(0, relation.find_first_of(" :(["))).text;
}

std::vector<std::string> names_in(std::string_view list, char separator) {
  std::vector<std::string> names;
  while (!list.empty()) {
    if (auto name = package_name(take_until(list, separator)); !name.empty())
      names.push_back(std::move(name));
  }
  return names;
}

void add_dependencies(installed_package& package, std::string_view list) {
  while (!list.empty()) {
    if (auto any_of = names_in(take_until(list, ','), '|'); !any_of.empty())
      package.depends.push_back(std::move(any_of));
  }
}

std::optional<installed_package> parse_paragraph(std::string_view paragraph) {
  installed_package package;
  bool installed = false;
  while (!paragraph.empty()) {
    std::string_view line = take_until(paragraph, '\n');
    if (line.starts_with(' ') || line.starts_with('\t'))
      continue;  // goes on with the field before; none of these is needed
    const std::string_view field = take_until(line, ':');
    const std::string_view value = trimmed(line);
    if (field == "Package") package.name = to_utf8(value).text;
    if (field == "Status") installed = value.ends_with(" installed");
    if (field == "Version") package.version = to_utf8(value).text;
    if (field == "Section") package.section = to_utf8(value).text;
    if (field == "Description") package.description = to_utf8(value).text;
    if (field == "Provides") package.provides = names_in(value, ',');
    if (field == "Depends" || field == "Pre-Depends") add_dependencies(package, value);
    if (field == "Installed-Size") {
      std::uint64_t kib = 0;
      std::from_chars(value.data(), value.data() + value.size(), kib);
      package.size_bytes = std::min(kib, std::uint64_t{1} << 40U) * 1024;
    }
  }
  if (!installed || package.name.empty()) return std::nullopt;
  return package;
}

}  // namespace

std::vector<installed_package> parse_dpkg_status(std::string_view text) {
  std::vector<installed_package> packages;
  while (!text.empty()) {
    const auto paragraph = text.substr(0, text.find("\n\n"));
    text.remove_prefix(std::min(text.size(), paragraph.size() + 2));
    if (auto package = parse_paragraph(paragraph)) packages.push_back(*std::move(package));
  }
  return packages;
}

}  // namespace curfew_dashboard
