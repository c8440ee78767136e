#pragma once

/// What the snippets of remote may name.

#include <curfew/core.hpp>
#include <curfew/remote.hpp>
#include <iostream>
#include <string>

#include "docs/redis.hpp"

namespace docs {

namespace remote = curfew::remote;

extern redis::client client;
extern remote::hub hub;
extern const std::string text;
extern const std::string ticket;
extern const std::string key;
void send_job(const std::string& ticket);
void enqueue(const std::string& ticket);
int wait_for_answer(const curfew::context& ctx);
void work(const curfew::context& ctx);
extern remote::queue<std::string> thumbnails;
curfew::result<std::string> make_thumbnail(const curfew::context& ctx, const std::string& file);

}  // namespace docs
