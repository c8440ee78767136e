#pragma once

/// What the snippets of io may name.

#include <boost/asio.hpp>
#include <curfew/io.hpp>
#include <curfew/sync.hpp>
#include <deque>
#include <string>
#include <tuple>
#include <vector>

#include "docs/common.hpp"

namespace docs {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;

struct page {};
struct entry {};
struct user {};
struct order {};
struct session {
  bool ping();
};

struct database {
  void start_find(curfew::context ctx, int id, curfew::extend::handler<curfew::result<entry>> complete);
};

extern const int id;
extern const std::string url;
extern tcp::socket socket;
extern asio::mutable_buffer buffer;
extern std::deque<int> queue_;
extern curfew::mutex mutex_;
extern curfew::condition changed_;
extern curfew::once connected_;
extern curfew::channel<std::string> lines;
extern bool stop;

extern const asio::any_io_executor executor;

curfew::result<session> connect(const curfew::context& ctx);
curfew::result<> answer(const curfew::context& ctx, int connection);
awaitable<int> serve(curfew::context ctx);
awaitable<page> fetch();
void report(boost::system::error_code ec, std::size_t n);
awaitable<curfew::result<entry>> async_lookup(curfew::context ctx, int id);
awaitable<curfew::result<user>> async_find_user(curfew::context ctx, int id);
awaitable<curfew::result<std::vector<order>>> async_find_orders(curfew::context ctx, int id);
awaitable<curfew::result<>> reader(curfew::context ctx);
awaitable<curfew::result<>> writer(curfew::context ctx);

}  // namespace docs
