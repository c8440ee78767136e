#pragma once

/// HTTP/1.1 whose requests die with whoever asked: a server whose handlers get a context that ends when
/// the client goes away, and a client whose calls end with their context and hand its deadline on.

#include <curfew/http/client.hpp>
#include <curfew/http/deadline.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/fields.hpp>
#include <curfew/http/message.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/status.hpp>
