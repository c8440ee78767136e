#pragma once

/// HTTP/1.1 whose requests end when their client goes away: a server whose handlers get a context that ends then,
/// and a client whose calls end with their context and hand its deadline on. With core: `with_timeout` and the
/// like need no other header.
///
/// For tests there is <curfew/http/testing.hpp>.

#include <curfew/core.hpp>
#include <curfew/http/blocking.hpp>
#include <curfew/http/body_reader.hpp>
#include <curfew/http/call_hooks.hpp>
#include <curfew/http/checked.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/deadline.hpp>
#include <curfew/http/dial.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/fields.hpp>
#include <curfew/http/file.hpp>
#include <curfew/http/message.hpp>
#include <curfew/http/redirect.hpp>
#include <curfew/http/retry_after.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/save_file.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/status.hpp>
#include <curfew/http/timings.hpp>
#include <curfew/http/tls.hpp>
#include <curfew/http/url.hpp>
