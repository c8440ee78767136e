#pragma once

/// What the snippets of testing may name.

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <curfew/core.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <thread>
#include <tuple>

#include "docs/common.hpp"

namespace docs {

namespace asio = boost::asio;
namespace testing = curfew::testing;
using testing::manual_clock;

extern asio::io_context io;
extern manual_clock clock;
extern std::thread server;
extern std::uint16_t server_port;

}  // namespace docs
