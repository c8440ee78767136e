#pragma once

/// What the snippets of remote may name.

#include <curfew/core.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote.hpp>
#include <iostream>
#include <string>

#include "docs/common.hpp"

namespace docs {

namespace remote = curfew::remote;

extern curfew::redis::client client;
extern remote::hub hub;
extern const std::string text;
extern const std::string ticket;
extern const std::string key;
void send_job(const std::string& ticket);
void enqueue(const std::string& ticket);
int wait_for_answer(const curfew::context& ctx);
void work(const curfew::context& ctx);

}  // namespace docs
