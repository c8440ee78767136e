#pragma once

/// The tree of contexts: cancellation, deadlines and request-scoped values.
///
/// A `context` tells work whether its result is still wanted. It is handed down as the first parameter, `ctx`,
/// through everything that works for one request. The caller that wants the result derives it,
///
///     auto scope = curfew::with_timeout(curfew::background(), 5s);
///     answer(scope, question);
///
/// and the work looks at it between two steps, or has it interrupt what blocks:
///
///     if (ctx.err()) return curfew::error::ended(ctx);     // between two steps
///     curfew::on_done stop(ctx, [&] { socket.close(); });  // while something blocks
///
/// A context ends once: when its scope is canceled or destroyed, when its deadline passes, or when its
/// parent ends. Everything derived from it ends with it, at once and for the same cause.
///
/// Memory order: what a thread did before `cancel()` happens before whatever another thread does after
/// it has seen `err()` set, inside an `on_done` callback, or after `done().wait()`.

#include <curfew/core/after_func.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/cause.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/done.hpp>
#include <curfew/core/driven_clock.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/error.hpp>
#include <curfew/core/idle_scope.hpp>
#include <curfew/core/key.hpp>
#include <curfew/core/observer.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/core/task.hpp>
#include <curfew/core/trace.hpp>
