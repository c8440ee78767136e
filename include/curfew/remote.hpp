#pragma once

/// Contexts that cross machines where no call goes: by Redis, whose messages and keys tell of their ends. Begin with
/// hub.hpp; docs/guide/remote.md says what is promised when something fails.

#include <curfew/remote/errc.hpp>
#include <curfew/remote/hub.hpp>
#include <curfew/remote/queue.hpp>
#include <curfew/remote/ticket.hpp>
