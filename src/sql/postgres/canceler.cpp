#include <libpq-fe.h>

#include <array>
#include <functional>
#include <memory>
#include <tuple>

#include "sql/postgres/connection.hpp"
#include "sql/postgres/newer_libpq.hpp"

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
