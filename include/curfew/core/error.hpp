#pragma once

#include <curfew/core/cause.hpp>
#include <curfew/core/errc.hpp>
#include <expected>
#include <iosfwd>
#include <string>
#include <system_error>

namespace curfew {

class context;

/// What went wrong, while doing what, and whether trying again makes sense.
class error {
 public:
  /// \param doing  What was being done, such as "GET http://host/ : connecting"; empty where nothing helps.
  explicit error(std::error_code code, std::string doing = {}, cause why = {});

  /// The error of work that stopped because `ctx` ended: its err, with its cause beside it.
  static error ended(const context& ctx, std::string doing = {});

  [[nodiscard]] const std::error_code& code() const noexcept { return code_; }
  [[nodiscard]] const std::string& doing() const noexcept { return doing_; }
  /// Where a context's end was the reason: its cause. Else none.
  [[nodiscard]] const curfew::cause& cause() const noexcept { return cause_; }
  /// May the same thing succeed if tried again? A timeout, a refused or lost connection: yes.
  /// A cancel, a malformed URL, a certificate that is not trusted: no.
  [[nodiscard]] bool transient() const noexcept;
  /// All of it in one line: "GET http://host/ : connecting: deadline exceeded (cause: report budget)".
  [[nodiscard]] std::string message() const;

  template <class Code>
    requires(std::is_error_code_enum_v<Code> || std::is_error_condition_enum_v<Code>)
  friend bool operator==(const error& a, Code b) noexcept {
    return a.code() == b;
  }
  friend bool operator==(const error& a, const std::error_code& b) noexcept { return a.code() == b; }
  friend std::ostream& operator<<(std::ostream& out, const error& e);

 private:
  std::error_code code_;
  std::string doing_;
  curfew::cause cause_;
};

/// A value, or why there is none.
template <class T = void>
using result = std::expected<T, error>;

}  // namespace curfew
