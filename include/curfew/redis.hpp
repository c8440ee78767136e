#pragma once

/// Redis: commands, pipelines, scripts and messages whose waits obey a context.

#include <curfew/redis/answer.hpp>
#include <curfew/redis/client.hpp>
#include <curfew/redis/command.hpp>
#include <curfew/redis/commands.hpp>
#include <curfew/redis/errc.hpp>
#include <curfew/redis/error.hpp>
#include <curfew/redis/reply.hpp>
#include <curfew/redis/script.hpp>
#include <curfew/redis/subscription.hpp>
