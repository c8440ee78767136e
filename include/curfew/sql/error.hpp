#pragma once

#include <cstdint>
#include <curfew/core/error.hpp>
#include <curfew/sql/errc.hpp>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace curfew::sql {

/// What has become of a statement that failed.
enum class outcome : std::uint8_t {
  did_not_happen,  ///< Nothing was changed.
  unknown,         ///< It may have been carried out: the answer never came.
  happened,        ///< It was carried out, and is there.
};

/// What the database said of an error, and where.
struct error_details {
  std::string
      sqlstate;  ///< PostgreSQL's five characters; of SQLite its extended code, in digits. Empty: no answer.
  std::string message;  ///< The database's own.
  std::string
      detail;  ///< More of it, with values: "Key (id)=(1) already exists." Not part of the error's text.
  std::string hint;  ///< What PostgreSQL would do about it.
  std::string
      constraint;  ///< Which one was violated: a name, or "table.column". Empty: none, or it does not say.
  std::size_t position = 0;  ///< In the text, from 1, in characters; 0: it does not say.
  sql::outcome outcome = sql::outcome::did_not_happen;

  /// With a message, and nothing else.
  [[nodiscard]] static error_details saying(std::string message) {
    error_details made;
    made.message = std::move(message);
    return made;
  }
};

/// A curfew::error with what the database said. Where a curfew::error is asked for, it is one.
class error : public curfew::error {
 public:
  error(std::error_code code, std::string doing, error_details details = {}, curfew::cause why = {});
  /// Of another library's, or the end of a context: nothing happened.
  error(curfew::error other);  // NOLINT(google-explicit-constructor): a pool's, a socket's

  [[nodiscard]] const error_details& details() const noexcept { return *details_; }
  [[nodiscard]] std::string_view sqlstate() const noexcept { return details_->sqlstate; }
  [[nodiscard]] std::string_view constraint() const noexcept { return details_->constraint; }
  [[nodiscard]] sql::outcome outcome() const noexcept { return details_->outcome; }
  /// In one line: "select … from users: running: unique violation (users_name_key)".
  [[nodiscard]] std::string message() const;
  friend std::ostream& operator<<(std::ostream& out, const error& e);

  /// The same, with another outcome.
  [[nodiscard]] error with(sql::outcome what) const;

 private:
  std::shared_ptr<const error_details> details_;  // never null
};

/// A value, or the error that the database gave.
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

}  // namespace curfew::sql
