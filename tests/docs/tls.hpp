#pragma once

/// What the snippets of tls may name.

#include <curfew/http/client.hpp>
#include <curfew/tls/certificate_authority.hpp>

#include "docs/common.hpp"

namespace docs {

namespace http = curfew::http;

}  // namespace docs
