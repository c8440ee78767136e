#pragma once

/// Redis under a context: commands, pipelines, transactions, scripts and messages whose waits end with it.
///
///     redis::client cache("redis://127.0.0.1:6379/0");
///     auto name = co_await cache.async_run(ctx, redis::get("user:1:name"));   // result<std::optional<std::string>>
///     if (!name) co_return name.error();

#include <curfew/redis/answer.hpp>
#include <curfew/redis/client.hpp>
#include <curfew/redis/command.hpp>
#include <curfew/redis/commands.hpp>
#include <curfew/redis/errc.hpp>
#include <curfew/redis/error.hpp>
#include <curfew/redis/reply.hpp>
#include <curfew/redis/scan.hpp>
#include <curfew/redis/script.hpp>
#include <curfew/redis/subscription.hpp>
