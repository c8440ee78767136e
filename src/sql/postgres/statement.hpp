#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/sql/batch.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/rows.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/postgres/connection.hpp"
#include "sql/postgres/janitor.hpp"
#include "sql/postgres/loan.hpp"

namespace curfew::sql::postgres {

inline const parameters nothing;

/// A statement, as inspection shows it.
[[nodiscard]] curfew::detail::open_task show(const context& ctx, std::string_view text,
                                             const std::string& database, const connection& on);

struct answered {
  result<rows> what;
  std::string tag;             // "COMMIT"
  std::vector<rows> all = {};  // of a batch
};

/// Has the caller of a statement that was cut off to know whether it was carried out?
enum class effect : std::uint8_t { none, some, as_its_text_says };

/// One statement on a connection, up to what has become of it.
class statement {
 public:
  statement(loan& on, context ctx, std::string_view text, effect has) noexcept;

  [[nodiscard]] answered run(const parameters& with, connection::how sent);
  [[nodiscard]] answered run(const batch& all);
  [[nodiscard]] boost::asio::awaitable<answered> async_run(const parameters& with, connection::how sent,
                                                           std::uint64_t task);
  [[nodiscard]] boost::asio::awaitable<answered> async_run(const batch& all, std::uint64_t task);
  /// The same of one that runs already.
  [[nodiscard]] answered finish();
  [[nodiscard]] boost::asio::awaitable<answered> async_finish(std::uint64_t task);

 private:
  result<> start(const parameters& with, connection::how sent);
  [[nodiscard]] bool may_have_happened() const;
  answered settled();
  static answered said(verdict& by);
  /// \return null: the caller does not wait.
  std::shared_ptr<verdict> leave();
  answered left() { return {*std::move(ended_), {}}; }

  loan& on_;
  const context ctx_;
  const std::string_view text_;
  const effect effect_;
  std::optional<error> ended_;
};

}  // namespace curfew::sql::postgres
