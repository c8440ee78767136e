#pragma once

#include <libpq-fe.h>

#include <curfew/sql/error.hpp>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/rows.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What goes to the server and comes from it, as libpq has it.

namespace curfew::sql::postgres {

struct clear_answer {
  void operator()(PGresult* answer) const noexcept { ::PQclear(answer); }
};
using answer_ptr = std::unique_ptr<PGresult, clear_answer>;

/// Parameters as libpq takes them: as text without a type, which the server infers; bytes as they are. Refers to the
/// parameters.
class encoded {
 public:
  /// Errors: errc::bad_parameter.
  static result<encoded> of(const parameters& with, std::string_view text);

  [[nodiscard]] int size() const noexcept { return static_cast<int>(values_.size()); }
  [[nodiscard]] const char* const* values() const noexcept { return values_.data(); }
  [[nodiscard]] const int* lengths() const noexcept { return lengths_.data(); }
  [[nodiscard]] const int* formats() const noexcept { return formats_.data(); }

 private:
  std::vector<const char*> values_;
  std::vector<int> lengths_;
  std::vector<int> formats_;
  std::vector<std::string> made_;  // values point into it
};

class gathered_rows;

/// How the columns of an answer are read: resolved once.
class decoder {
 public:
  explicit decoder(const PGresult* of);

  /// All of its rows. Their bytes are the answer's, which they keep.
  /// Errors: errc::conversion, where the server's text is not what its type promises.
  [[nodiscard]] result<rows> decode(answer_ptr answer) const;
  /// The same of several answers with the same columns, which they keep; of one at least.
  [[nodiscard]] result<rows> decode(std::vector<answer_ptr> answers) const;

 private:
  friend class gathered_rows;

  /// \param copies  Where their bytes go; null: nowhere.
  [[nodiscard]] std::optional<error> append(detail::table& to, const PGresult* from,
                                            gathered_rows* copies) const;

  std::vector<std::string> names_;
  std::vector<detail::cell_kind> kinds_;
};

/// Rows that come one by one, each an answer of libpq's, which takes 3 KB: their bytes are copied.
class gathered_rows {
 public:
  /// \param of  Outlives this.
  explicit gathered_rows(const decoder& of);

  /// Errors: errc::conversion.
  [[nodiscard]] std::optional<error> add(const PGresult* row);
  [[nodiscard]] rows take() && { return rows(std::move(made_)); }

 private:
  friend class decoder;

  [[nodiscard]] const char* copy(const char* bytes, std::size_t size);

  const decoder& of_;
  std::shared_ptr<detail::table> made_;
  char* next_ = nullptr;  // in the last of the blocks that the table owns
  std::size_t room_ = 0;
};

/// What the server says in an error, or in a notice.
[[nodiscard]] error_details details_of(const PGresult* answer);

/// What the server says went wrong, or libpq, where there is no server any more.
[[nodiscard]] error failed(const PGresult* answer, std::string doing);

/// \param function  Of the server, that has raised it; null: unknown.
[[nodiscard]] std::error_code code_of(std::string_view sqlstate, const char* function) noexcept;

/// "08006"; empty: the server said nothing.
[[nodiscard]] std::string_view sqlstate_of(const PGresult* answer) noexcept;

/// The last line of what libpq says, without its end.
[[nodiscard]] std::string trimmed(const char* message);

}  // namespace curfew::sql::postgres
