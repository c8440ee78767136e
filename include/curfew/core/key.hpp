#pragma once

namespace curfew {

/// Names a request-scoped value and fixes its type. Two keys are equal if they are the same object, so
/// a key is a constant at namespace scope:
///
///     inline constexpr curfew::key<std::string> trace_id{"trace id"};
template <class T>
class key {
 public:
  /// \param name  A literal; for logs and for inspection.
  constexpr explicit key(const char* name) noexcept : name_(name) {}
  key(const key&) = delete;  // a copy would be another key
  key& operator=(const key&) = delete;

  [[nodiscard]] constexpr const char* name() const noexcept { return name_; }

 private:
  const char* name_;
};

}  // namespace curfew
