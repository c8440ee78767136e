#pragma once

#include <system_error>

namespace curfew::sql {

/// What goes wrong with a database, as far as programs branch on it. The end of a context is reported as `curfew::errc`.
enum class errc {
  unique_violation = 1,   ///< There is such a row already.
  foreign_key_violation,  ///< What the row refers to is not there, or something refers to the row.
  check_violation,        ///< A CHECK constraint, or one that excludes.
  not_null_violation,
  serialization_failure,  ///< Of concurrent transactions one had to fail; transient: do it again.
  deadlock,               ///< The same; as std::errc::resource_deadlock_would_occur. Transient.
  busy,               ///< Another connection holds the lock, for longer than this one may wait. Transient.
  connection_failed,  ///< No database answers there; as std::errc::connection_refused. Transient.
  connection_lost,  ///< In the middle; as std::errc::connection_reset. Transient, but look at error::outcome().
  too_many_connections,  ///< The server's limit. Transient.
  not_allowed,           ///< Wrong user or password, or no right to do that.
  syntax,                ///< The text is wrong, or names what is not there.
  read_only,             ///< A write, in a transaction or a database that is read only.
  rolled_back,           ///< A COMMIT that the database answered with ROLLBACK: nothing happened.
  too_large,             ///< A value, a row or an answer is larger than the limit.
  conversion,            ///< A column does not have the type that was asked for, or is NULL.
  bad_parameter,         ///< A parameter's value cannot be sent, or their number is wrong.
  many_statements,       ///< More than one statement in a text.
  bad_url,               ///< Not the URL of a database.
  other,                 ///< Everything else: the message says what.
};

/// The category of `sql::errc`; its name is "curfew.sql".
[[nodiscard]] const std::error_category& sql_category() noexcept;

[[nodiscard]] std::error_code make_error_code(errc code) noexcept;

}  // namespace curfew::sql

template <>
struct std::is_error_code_enum<curfew::sql::errc> : std::true_type {};
