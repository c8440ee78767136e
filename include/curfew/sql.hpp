#pragma once

/// Databases under a context: a query that nobody waits for stops where it runs.
///
///     sql::pool db("postgresql://app@127.0.0.1/shop");  // or "sqlite:shop.db"
///     auto found = co_await db.async_query(ctx, "select id, name from users where age > $1", 18);
///     if (!found) co_return found.error();
///     for (auto [id, name] : found->as<std::int64_t, std::string>()) …

#include <curfew/sql/batch.hpp>
#include <curfew/sql/copy.hpp>
#include <curfew/sql/errc.hpp>
#include <curfew/sql/error.hpp>
#include <curfew/sql/listener.hpp>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/pool.hpp>
#include <curfew/sql/row_stream.hpp>
#include <curfew/sql/rows.hpp>
#include <curfew/sql/savepoint.hpp>
#include <curfew/sql/structs.hpp>
#include <curfew/sql/text.hpp>
#include <curfew/sql/transact.hpp>
#include <curfew/sql/types.hpp>
