#include "http/client/client_state.hpp"

#include <utility>

#include "http/wire/addable.hpp"

namespace curfew::http {

client_state::client_state(client_options o)
    : options(std::move(o)),
      proxies(options.proxy() ? proxy_rules(*options.proxy()) : proxy_rules::of_environment()),
      pool(std::make_shared<client_pool>(
          client_pool::limits{options.max_idle_connections(), options.max_connections_per_host(),
                              addable(options.idle_timeout()), options.connection_life_time()})) {}

bool client_state::enlist(client_activity& one) noexcept {
  const std::lock_guard guard(mutex_);
  if (closed_) return false;
  activities_.push_back(one);
  return true;
}

void client_state::delist(client_activity& one) noexcept {
  const std::lock_guard guard(mutex_);
  activities_.remove(one);
}

std::shared_ptr<const tls::client_trust> client_state::trust(std::string& why) {
  const std::lock_guard guard(trust_mutex_);
  if (!trust_) {
    trust_ = tls::client_trust::make({.ca_file = options.ca_file(),
                                      .chain_file = options.client_chain_file(),
                                      .key_file = options.client_key_file(),
                                      .pinned_keys = options.pinned_keys(),
                                      .protocol = "http/1.1"},
                                     why);
  }
  return trust_;
}

std::shared_ptr<loop> client_state::borrow_loop() {
  {
    const std::lock_guard guard(mutex_);
    if (!loops_.empty()) {
      auto one = std::move(loops_.back());
      loops_.pop_back();
      return one;
    }
  }
  return std::make_shared<loop>();
}

void client_state::give_back(std::shared_ptr<loop> one) {
  const std::lock_guard guard(mutex_);
  if (!closed_) loops_.push_back(std::move(one));
}

void client_state::close() noexcept {
  std::vector<std::shared_ptr<client_activity>> left;
  std::vector<std::shared_ptr<loop>> loops;
  {
    const std::lock_guard guard(mutex_);
    closed_ = true;
    activities_.for_each([&](client_activity& each) {
      if (auto owned = each.owned()) left.push_back(std::move(owned));
    });
    loops.swap(loops_);
  }
  for (const auto& each : left) each->client_gone();
  pool->close();
}

}  // namespace curfew::http
