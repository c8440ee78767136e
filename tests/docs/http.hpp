#pragma once

/// What the snippets of http and of the pages may name.

#include <boost/asio.hpp>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/io.hpp>
#include <curfew/io/testing.hpp>
#include <curfew/sync.hpp>
#include <curfew/testing.hpp>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "docs/common.hpp"

namespace docs {

namespace asio = boost::asio;
namespace http = curfew::http;
using asio::awaitable;

extern const std::string url;
std::string token();

awaitable<http::response> hello(curfew::context ctx, const http::request& request);
awaitable<http::response> upload(curfew::context ctx, const http::request& request);
http::response digest(const curfew::context& ctx, const http::request& request);
http::handler require_login(http::handler inner);
std::string hash_file(const curfew::context& ctx, const std::string& path);

}  // namespace docs
