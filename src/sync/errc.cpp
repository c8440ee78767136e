#include <curfew/sync/errc.hpp>
#include <string>

namespace curfew {

namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "curfew.sync"; }

  [[nodiscard]] std::string message(int code) const override {
    switch (static_cast<sync_errc>(code)) {
      case sync_errc::closed:
        return "closed";
      case sync_errc::would_block:
        return "would block";
    }
    return "curfew.sync error " + std::to_string(code);
  }

  [[nodiscard]] std::error_condition default_error_condition(int code) const noexcept override {
    if (static_cast<sync_errc>(code) == sync_errc::would_block) return std::errc::operation_would_block;
    return {code, *this};
  }
};

constinit const category the_category;

}  // namespace

const std::error_category& sync_category() noexcept { return the_category; }

std::error_code make_error_code(sync_errc code) noexcept { return {static_cast<int>(code), the_category}; }

}  // namespace curfew
