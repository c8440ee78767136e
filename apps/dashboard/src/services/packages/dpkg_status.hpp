#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace curfew_dashboard {

/// An installed package, as dpkg's status file describes it. Texts are valid UTF-8.
struct installed_package {
  std::string name;
  std::string version;
  std::string section;
  std::string description;  ///< Its first line.
  std::uint64_t size_bytes = 0;
  std::vector<std::string> provides;              ///< Virtual packages; not itself.
  std::vector<std::vector<std::string>> depends;  ///< Any one of each inner list is enough.
};

/// The packages of the paragraphs in `text` that are installed; paragraphs and fields that make no sense are
/// passed over.
[[nodiscard]] std::vector<installed_package> parse_dpkg_status(std::string_view text);

}  // namespace curfew_dashboard
