#pragma once

#include <libpq-fe.h>

// Of libpq 17: there when the program runs with it, whatever it was built with.
extern "C" {
// NOLINTBEGIN(readability-identifier-naming)
struct pg_cancel_conn;
[[gnu::weak]] pg_cancel_conn* PQcancelCreate(PGconn* server);
[[gnu::weak]] int PQcancelBlocking(pg_cancel_conn* request);
[[gnu::weak]] void PQcancelFinish(pg_cancel_conn* request);
[[gnu::weak]] int PQsetChunkedRowsMode(PGconn* server, int rows);
// NOLINTEND(readability-identifier-naming)
}

namespace curfew::sql::postgres {

/// The status of an answer with some of the rows, after PQsetChunkedRowsMode: PGRES_TUPLES_CHUNK.
inline constexpr int status_of_chunk = 12;

}  // namespace curfew::sql::postgres
