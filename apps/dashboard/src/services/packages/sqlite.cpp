#include "services/packages/sqlite.hpp"

#include <limits>

namespace curfew_dashboard {

namespace {

constexpr int steps_between_looks = 1000;

int checked_size(std::string_view text) {
  if (text.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    throw sqlite_error("text too long");
  return static_cast<int>(text.size());
}

}  // namespace

void sqlite_connection::close::operator()(sqlite3* database) const noexcept { ::sqlite3_close_v2(database); }

sqlite_connection::sqlite_connection(const std::string& path) {
  sqlite3* opened = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = ::sqlite3_open_v2(path.c_str(), &opened, flags, nullptr);
  database_.reset(opened);
  if (code != SQLITE_OK) throw sqlite_error("opening a database: " + std::string(::sqlite3_errstr(code)));
}

void sqlite_connection::execute(const char* sql) {
  if (::sqlite3_exec(get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    throw sqlite_error(::sqlite3_errmsg(get()));
}

void sqlite_statement::finalize::operator()(sqlite3_stmt* statement) const noexcept {
  ::sqlite3_finalize(statement);
}

sqlite_statement::sqlite_statement(const sqlite_connection& connection, const char* sql) {
  sqlite3_stmt* prepared = nullptr;
  const int code = ::sqlite3_prepare_v2(connection.get(), sql, -1, &prepared, nullptr);
  statement_.reset(prepared);
  if (code != SQLITE_OK && code != SQLITE_INTERRUPT) throw sqlite_error(::sqlite3_errmsg(connection.get()));
}

void sqlite_statement::check(int code) const {
  if (code != SQLITE_OK) throw sqlite_error(::sqlite3_errmsg(::sqlite3_db_handle(statement_.get())));
}

void sqlite_statement::reset() {
  if (!statement_) return;
  ::sqlite3_reset(statement_.get());  // its code is that of the last step, which was looked at
  ::sqlite3_clear_bindings(statement_.get());
}

void sqlite_statement::bind(int parameter, std::int64_t number) {
  if (statement_) check(::sqlite3_bind_int64(statement_.get(), parameter, number));
}

void sqlite_statement::bind(int parameter, std::string_view text) {
  if (!statement_) return;
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): its size is the next argument
  check(::sqlite3_bind_text(statement_.get(), parameter, text.data(), checked_size(text), SQLITE_TRANSIENT));
}

sqlite_step sqlite_statement::step() {
  if (!statement_) return sqlite_step::ended;
  const int code = ::sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return sqlite_step::row;
  if (code == SQLITE_DONE) {
    ::sqlite3_reset(
        statement_.get());  // a statement left open would keep an interrupt alive for the next one
    return sqlite_step::done;
  }
  if (code == SQLITE_INTERRUPT) {
    ::sqlite3_reset(statement_.get());
    return sqlite_step::ended;
  }
  throw sqlite_error(::sqlite3_errmsg(::sqlite3_db_handle(statement_.get())));
}

sqlite_step sqlite_statement::run() {
  sqlite_step last = step();
  while (last == sqlite_step::row) last = step();
  return last;
}

std::int64_t sqlite_statement::number(int column) const {
  return ::sqlite3_column_int64(statement_.get(), column);
}

std::string sqlite_statement::text(int column) const {
  const unsigned char* bytes = ::sqlite3_column_text(statement_.get(), column);
  if (bytes == nullptr) return {};
  const auto length = static_cast<std::size_t>(::sqlite3_column_bytes(statement_.get(), column));
  return {reinterpret_cast<const char*>(bytes), length};
}

query_guard::query_guard(const sqlite_connection& connection, const curfew::context& ctx)
    : connection_(connection),
      ctx_(ctx),
      ending_(ctx, interrupt{connection.get()}) {
  const auto has_ended = [](void* context) -> int {
    return static_cast<const curfew::context*>(context)->err() ? 1 : 0;
  };
  ::sqlite3_progress_handler(connection.get(), steps_between_looks, has_ended, &ctx_);
}

query_guard::~query_guard() {
  ending_.stop();
  ::sqlite3_progress_handler(connection_.get(), 0, nullptr, nullptr);
}

}  // namespace curfew_dashboard
