#pragma once

#include <cstdint>
#include <curfew/core/error.hpp>
#include <curfew/redis/errc.hpp>
#include <expected>
#include <iosfwd>
#include <string>
#include <utility>

namespace curfew::redis {

/// What has become of a command that failed.
enum class outcome : std::uint8_t {
  did_not_happen,  ///< Nothing was changed.
  unknown,         ///< It may have been carried out: the answer was not waited for, or never came.
};

/// A curfew::error with what the server said. Where a curfew::error is asked for, it is one.
class error : public curfew::error {
 public:
  /// \param text  What the server said; empty: nothing.
  error(std::error_code code, std::string doing, std::string text = {},
        redis::outcome became = redis::outcome::did_not_happen, curfew::cause why = {});
  /// Of another part, or the end of a context: nothing happened.
  error(curfew::error other);  // NOLINT(google-explicit-constructor): a pool's, a socket's

  /// "WRONGTYPE Operation against a key holding the wrong kind of value".
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] redis::outcome outcome() const noexcept { return outcome_; }
  /// In one line: "GET user:1: wrong type (WRONGTYPE Operation against …)".
  [[nodiscard]] std::string message() const;
  friend std::ostream& operator<<(std::ostream& out, const error& e);

 private:
  std::string text_;
  redis::outcome outcome_;
};

/// A value, or why there is none.
template <class T = void>
class [[nodiscard]] result : public std::expected<T, error> {
  using base = std::expected<T, error>;

 public:
  using base::base;

  result() = default;
  result(const error& why) : base(std::unexpect, why) {}        // NOLINT(google-explicit-constructor)
  result(error&& why) : base(std::unexpect, std::move(why)) {}  // NOLINT(google-explicit-constructor)
  // NOLINTNEXTLINE(google-explicit-constructor): as that of another library
  result(const curfew::error& why) : base(std::unexpect, error(why)) {}
};

}  // namespace curfew::redis
