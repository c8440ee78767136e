#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::http {

/// Header fields in their order. Names compare without regard to case; one name may stand more than once.
class fields {
 public:
  struct field {
    std::string name;
    std::string value;
  };

  /// The value of the first field of that name, or null.
  [[nodiscard]] const std::string* find(std::string_view name) const noexcept;
  /// How many fields have that name.
  [[nodiscard]] std::size_t count(std::string_view name) const noexcept;
  /// Replaces all fields of that name by one.
  void set(std::string_view name, std::string_view value);
  /// Appends, beside others of that name.
  void add(std::string_view name, std::string_view value);
  void erase(std::string_view name);

  [[nodiscard]] auto begin() const noexcept { return list_.begin(); }
  [[nodiscard]] auto end() const noexcept { return list_.end(); }
  [[nodiscard]] std::size_t size() const noexcept { return list_.size(); }
  [[nodiscard]] bool empty() const noexcept { return list_.empty(); }

 private:
  std::vector<field> list_;
};

/// Are two field names the same, without regard to the case of ASCII letters?
[[nodiscard]] bool same_name(std::string_view a, std::string_view b) noexcept;

}  // namespace curfew::http
