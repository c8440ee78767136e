#include <libpq-fe.h>

#include <array>
#include <functional>
#include <memory>
#include <tuple>

#include "sql/postgres/connection.hpp"

// Of libpq 17: there when the program runs with it.
extern "C" {
// NOLINTBEGIN(readability-identifier-naming)
struct pg_cancel_conn;
[[gnu::weak]] pg_cancel_conn* PQcancelCreate(PGconn* server);
[[gnu::weak]] int PQcancelBlocking(pg_cancel_conn* request);
[[gnu::weak]] void PQcancelFinish(pg_cancel_conn* request);
// NOLINTEND(readability-identifier-naming)
}

namespace curfew::sql::postgres {

std::function<void()> connection::canceler() const {
  if (PQcancelCreate != nullptr) {  // encrypted, where the connection is
    const std::shared_ptr<pg_cancel_conn> request(::PQcancelCreate(server_.get()), ::PQcancelFinish);
    return [request] { std::ignore = ::PQcancelBlocking(request.get()); };
  }
  const std::shared_ptr<PGcancel> request(::PQgetCancel(server_.get()), &::PQfreeCancel);
  return [request] {
    std::array<char, 256> why{};
    ::PQcancel(request.get(), why.data(), static_cast<int>(why.size()));  // one that fails is sent again
  };
}

}  // namespace curfew::sql::postgres
