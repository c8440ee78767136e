#include <curfew/sql/error.hpp>

#include <ostream>
#include <string>

namespace curfew::sql {

namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "curfew.sql"; }

  [[nodiscard]] std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
      case errc::unique_violation:
        return "unique violation";
      case errc::foreign_key_violation:
        return "foreign key violation";
      case errc::check_violation:
        return "check violation";
      case errc::not_null_violation:
        return "not null violation";
      case errc::serialization_failure:
        return "serialization failure";
      case errc::deadlock:
        return "deadlock";
      case errc::busy:
        return "the database is locked by another connection";
      case errc::connection_failed:
        return "no connection to the database";
      case errc::connection_lost:
        return "connection to the database lost";
      case errc::too_many_connections:
        return "the database has too many connections";
      case errc::not_allowed:
        return "not allowed";
      case errc::syntax:
        return "wrong SQL";
      case errc::read_only:
        return "read only";
      case errc::rolled_back:
        return "rolled back instead of committed";
      case errc::too_large:
        return "too large";
      case errc::conversion:
        return "a column of another type";
      case errc::bad_parameter:
        return "bad parameter";
      case errc::many_statements:
        return "more than one statement";
      case errc::bad_url:
        return "not the URL of a database";
      case errc::other:
        return "database error";
    }
    return "unknown database error " + std::to_string(code);
  }

  /// Also what makes an error transient.
  [[nodiscard]] std::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<errc>(code)) {
      case errc::serialization_failure:
      case errc::deadlock:
      case errc::busy:
      case errc::too_many_connections:
        return std::errc::resource_unavailable_try_again;
      case errc::connection_failed:
        return std::errc::connection_refused;
      case errc::connection_lost:
        return std::errc::connection_reset;
      default:
        return {code, *this};
    }
  }

  [[nodiscard]] bool equivalent(int code, const std::error_condition& condition) const noexcept override {
    return default_error_condition(code) == condition ||
           (static_cast<errc>(code) == errc::deadlock &&
            condition == std::errc::resource_deadlock_would_occur);
  }
};

constinit const category the_category;

const std::shared_ptr<const error_details>& nothing_said() {
  static const auto none = std::make_shared<const error_details>();
  return none;
}

}  // namespace

const std::error_category& sql_category() noexcept { return the_category; }

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), the_category}; }

error::error(std::error_code code, std::string doing, error_details details, curfew::cause why)
    : curfew::error(code, std::move(doing), std::move(why)),
      details_(std::make_shared<const error_details>(std::move(details))) {}

error::error(curfew::error other) : curfew::error(std::move(other)), details_(nothing_said()) {}

std::string error::message() const {
  std::string text = curfew::error::message();
  const auto add = [&text](const std::string& more) {
    if (!more.empty()) text += " (" + more + ')';
  };
  add(details_->message);
  if (!details_->message.contains(details_->constraint)) add(details_->constraint);
  if (details_->outcome == outcome::unknown) add("it may have happened");
  return text;
}

std::ostream& operator<<(std::ostream& out, const error& e) { return out << e.message(); }

error error::with(sql::outcome what) const {
  error_details changed = *details_;
  changed.outcome = what;
  return {code(), doing(), std::move(changed), cause()};
}

}  // namespace curfew::sql
