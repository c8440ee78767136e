#pragma once

/// What the snippets of sync may name, besides those of core.

#include <curfew/sync.hpp>
#include <deque>
#include <optional>
#include <ranges>
#include <string>
#include <vector>

#include "docs/common.hpp"

namespace docs {

struct page {};
struct entry {};
struct user {};
struct order {};

extern const int id;
extern const std::string url, mirror_a, mirror_b, message;
extern const std::vector<std::string> urls, files;
extern std::deque<int> queue_;
extern int r;
extern curfew::channel<std::string> queue, data, lines;
extern curfew::channel<int> results;
extern std::deque<curfew::channel<int>> channels;
extern curfew::mutex mutex_;
extern curfew::shared_mutex table_;
extern curfew::condition changed_;
extern bool stop;

curfew::result<page> fetch(const curfew::context& ctx, const std::string& url);
curfew::result<entry> lookup(const curfew::context& ctx, int id);
curfew::result<user> find_user(const curfew::context& ctx, int id);
curfew::result<std::vector<order>> find_orders(const curfew::context& ctx, int id);
curfew::result<> hash(const curfew::context& ctx, const std::string& file);
curfew::result<> connect(const curfew::context& ctx);
void flush(const curfew::context& ctx);
void report();
void send(const curfew::context& ctx, const std::string& message);
bool store(const curfew::context& ctx, const std::string& item);
void use(const std::string& item);

}  // namespace docs
