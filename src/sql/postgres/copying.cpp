#include <libpq-fe.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "sql/postgres/connection.hpp"

// A COPY on a connection.

namespace curfew::sql::postgres {

bool connection::begin_copy(ExecStatusType status) {
  const bool is_meant = (how_ == how::copied_in && status == PGRES_COPY_IN) ||
                        (how_ == how::copied_out && status == PGRES_COPY_OUT);
  if (!is_meant) return false;
  phase_ = phase::copying;
  sent_ = false;  // it cannot be carried out before its end is sent
  if (how_ == how::copied_in && !values_) fail_copy();
  return true;
}

bool connection::put(std::string_view some) {
  if (::PQputCopyData(server_.get(), some.data(), static_cast<int>(some.size())) != 1) return false;
  unflushed_ += some.size();
  if (unflushed_ < piece_size) return true;  // one system call for many rows
  unflushed_ = 0;
  unsent_ = true;
  return true;
}

void connection::end_copy() {
  sent_ = unsent_ = true;
  phase_ = phase::executing;
  if (::PQputCopyEnd(server_.get(), nullptr) != 1) server_.reset();
}

void connection::fail_copy() {
  phase_ = phase::executing;
  unsent_ = true;
  if (::PQputCopyEnd(server_.get(), "canceled") != 1) server_.reset();
}

bool connection::take_row() {
  char* row = nullptr;
  const int size = ::PQgetCopyData(server_.get(), &row, 1);
  if (size == 0) return false;
  if (size < 0) {  // its end, or why it has none: the next answer says so
    phase_ = phase::executing;
    return true;
  }
  const std::unique_ptr<char, void (*)(void*)> kept(row, &::PQfreemem);
  if (values_) piece_.append(row, static_cast<std::size_t>(size));
  return true;
}

result<std::string> connection::take_piece() {
  if (failed_) return *std::exchange(failed_, std::nullopt);
  return std::exchange(piece_, {});
}

void connection::refuse_copy(const std::string& what) {
  failed_ = error(errc::other, what, error_details::saying("COPY is for copy_in and copy_out"));
  server_.reset();
  end();
}

}  // namespace curfew::sql::postgres
