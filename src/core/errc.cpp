#include <curfew/core/errc.hpp>
#include <string>

namespace curfew {

namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "curfew"; }

  [[nodiscard]] std::string message(int code) const override {
    if (code == 0) return "not ended";  // the err of a context that lives
    switch (static_cast<errc>(code)) {
      case errc::canceled:
        return "canceled";
      case errc::deadline_exceeded:
        return "deadline exceeded";
      case errc::closed:
        return "closed";
      case errc::would_block:
        return "would block";
    }
    return "curfew error " + std::to_string(code);
  }

  [[nodiscard]] std::error_condition default_error_condition(int code) const noexcept override {
    if (code == 0) return {};
    switch (static_cast<errc>(code)) {
      case errc::canceled:
        return std::errc::operation_canceled;
      case errc::deadline_exceeded:
        return std::errc::timed_out;
      case errc::would_block:
        return std::errc::operation_would_block;
      case errc::closed:
        break;
    }
    return {code, *this};
  }
};

constinit const category the_category;

}  // namespace

const std::error_category& curfew_category() noexcept { return the_category; }

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), the_category}; }

}  // namespace curfew
