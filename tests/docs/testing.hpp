#pragma once

/// What the snippets of testing may name.

#include <boost/asio/io_context.hpp>
#include <curfew/core.hpp>
#include <curfew/testing.hpp>

#include "docs/common.hpp"

namespace docs {

namespace asio = boost::asio;
extern asio::io_context io;
extern curfew::testing::manual_clock clock;

}  // namespace docs
