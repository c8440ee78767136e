#include <curfew/remote/errc.hpp>
#include <string>

namespace curfew::remote {

namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "curfew.remote"; }

  [[nodiscard]] std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
      case errc::origin_lost:
        return "the origin is lost";
      case errc::lease_lost:
        return "the lease is lost";
      case errc::hub_lost:
        return "Redis does not answer";
      case errc::origin_ended:
        return "the origin has ended";
      case errc::out_of_time:
        return "the longest time allowed here is over";
      case errc::taken_over:
        return "another worker has the job";
      case errc::bad_ticket:
        return "bad ticket";
      case errc::too_many:
        return "too many contexts";
      case errc::too_large:
        return "too large";
      case errc::queue_full:
        return "the queue is full";
      case errc::job_failed:
        return "the job failed";
      case errc::gave_up:
        return "the job was begun too often";
      case errc::bad_message:
        return "a message of another type";
    }
    return "unknown error of remote contexts " + std::to_string(code);
  }

  /// Also what makes an error transient.
  [[nodiscard]] std::error_condition default_error_condition(int code) const noexcept override {
    if (static_cast<errc>(code) == errc::too_many || static_cast<errc>(code) == errc::queue_full)
      return std::make_error_condition(std::errc::resource_unavailable_try_again);
    return {code, *this};
  }
};

}  // namespace

const std::error_category& remote_category() noexcept {
  static const category one;
  return one;
}

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), remote_category()}; }

}  // namespace curfew::remote
