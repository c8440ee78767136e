#include "http/client/client_pool.hpp"

#include <algorithm>
#include <utility>

namespace curfew::http {

namespace {

constexpr std::size_t most_origins = 1000;  // then those without a connection are forgotten

}  // namespace

std::shared_ptr<pool_origin> client_pool::find(const std::string& origin) {
  const std::lock_guard guard(mutex_);
  if (const auto known = origins_.find(origin); known != origins_.end()) return known->second;
  if (origins_.size() >= most_origins) {
    std::erase_if(origins_,
                  [](const auto& each) { return each.second.use_count() == 1 && each.second->places == 0; });
  }
  return origins_.emplace(origin, std::make_shared<pool_origin>()).first->second;
}

bool client_pool::enter(pool_origin& to, pool_waiter& w, const loop* rather) {
  for (;;) {
    std::shared_ptr<client_connection> one;
    {
      const std::lock_guard guard(mutex_);
      if (!to.idle.empty()) {
        auto chosen = std::ranges::find_if(to.idle.rbegin(), to.idle.rend(), [&](const auto& each) {
          return each.connection->in().get() == rather;
        });
        if (chosen == to.idle.rend()) chosen = to.idle.rbegin();
        one = std::move(chosen->connection);
        to.idle.erase(std::next(chosen).base());
        --idle_;
      } else if (limits_.per_origin == 0 || to.places < limits_.per_origin) {
        ++to.places;
        return true;
      } else {
        w.at = to.queue.insert(to.queue.end(), &w);
        w.queued = true;
        w.granted = false;
        return false;
      }
    }
    if (!is_too_old(*one) && one->is_quiet()) {
      w.connection = std::move(one);
      return true;
    }
    one->close();
    leave(to);
  }
}

bool client_pool::is_too_old(const client_connection& one) const {
  return limits_.life_time > clock::duration::zero() && clock::now() - one.made >= limits_.life_time;
}

bool client_pool::withdraw(pool_origin& from, pool_waiter& w) {
  const std::lock_guard guard(mutex_);
  if (!std::exchange(w.queued, false)) return false;
  from.queue.erase(w.at);
  return true;
}

/// Gives the place, and `one` with it, to the first waiter. None: nothing waits.
client_pool::wake client_pool::grant(pool_origin& of, std::shared_ptr<client_connection> one) {
  while (!of.queue.empty()) {
    pool_waiter& first = *of.queue.front();
    of.queue.pop_front();
    first.queued = false;
    auto woken = first.woken.lock();
    if (!woken) continue;  // is being destroyed
    first.connection = std::move(one);
    first.granted = true;
    return {std::move(woken), first.in};
  }
  return {};
}

void client_pool::give_back(std::shared_ptr<client_connection> one) {
  if (is_too_old(*one)) {
    one->close();
    return leave(*one->origin);
  }
  one->belongs_to({});
  connections over;
  std::optional<alarm_order> order;
  wake next;
  {
    const std::lock_guard guard(mutex_);
    pool_origin& of = *one->origin;
    next = grant(of, one);
    if (next.who) {
      one.reset();
    } else if (closed_ || limits_.idle == 0) {
      --of.places;
      over.push_back(std::move(one));
    } else {
      keep(std::move(one), over);
      if (!alarmed_) order = order_alarm(clock::now());
    }
  }
  next();
  set_alarm(order);
  for (const auto& each : over) each->close();
}

void client_pool::keep(std::shared_ptr<client_connection> one, connections& over) {
  if (idle_ == limits_.idle) {
    pool_origin* oldest = nullptr;
    for (const auto& [name, each] : origins_) {
      if (!each->idle.empty() && (oldest == nullptr || each->idle.front().since < oldest->idle.front().since))
        oldest = each.get();
    }
    over.push_back(std::move(oldest->idle.front().connection));
    oldest->idle.erase(oldest->idle.begin());
    --oldest->places;
    --idle_;
  }
  pool_origin& of = *one->origin;
  of.idle.push_back({std::move(one), clock::now()});
  ++idle_;
}

void client_pool::leave(pool_origin& from) {
  wake next;
  {
    const std::lock_guard guard(mutex_);
    next = grant(from, nullptr);
    if (!next.who) --from.places;
  }
  next();
}

void client_pool::spoilt(client_connection& one) {
  std::shared_ptr<client_connection> last;  // the pool's may be the only one
  {
    const std::lock_guard guard(mutex_);
    auto& idle = one.origin->idle;
    const auto it =
        std::ranges::find_if(idle, [&](const auto& each) { return each.connection.get() == &one; });
    if (it == idle.end()) return;  // taken just now: the call that did sees the bytes
    last = std::move(it->connection);
    idle.erase(it);
    --idle_;
    --one.origin->places;
  }
  one.close();
}

void client_pool::close_idle() {
  connections all;
  std::unique_ptr<alarm> off;
  {
    const std::lock_guard guard(mutex_);
    for (auto& [name, each] : origins_) {
      for (auto& one : each->idle) all.push_back(std::move(one.connection));
      each->places -= each->idle.size();
      each->idle.clear();
    }
    idle_ = 0;
    alarmed_ = false;
    ++alarm_number_;
    off = std::move(alarm_);
  }
  for (const auto& each : all) each->close();
}

void client_pool::close() {
  {
    const std::lock_guard guard(mutex_);
    closed_ = true;
  }
  close_idle();
}

/// The alarm has rung: closes what has been idle for long enough, and sets it again if something is left.
void client_pool::expire() {
  connections over;
  std::optional<alarm_order> order;
  {
    const std::lock_guard guard(mutex_);
    const auto now = clock::now();
    for (auto& [name, each] : origins_) {
      auto& idle = each->idle;
      const auto young =
          std::ranges::find_if(idle, [&](const auto& k) { return k.since + limits_.idle_time > now; });
      const auto old = static_cast<std::size_t>(young - idle.begin());
      for (auto it = idle.begin(); it != young; ++it) over.push_back(std::move(it->connection));
      idle.erase(idle.begin(), young);
      each->places -= old;
      idle_ -= old;
    }
    order = order_alarm(now);
  }
  set_alarm(order);
  for (const auto& each : over) each->close();
}

std::optional<client_pool::alarm_order> client_pool::order_alarm(clock::time_point now) {
  std::optional<clock::time_point> oldest;
  for (const auto& [name, each] : origins_) {
    if (!each->idle.empty())
      oldest = std::min(oldest.value_or(each->idle.front().since), each->idle.front().since);
  }
  alarmed_ = oldest.has_value();
  if (!oldest) return std::nullopt;
  return alarm_order{*oldest + limits_.idle_time - now, ++alarm_number_};
}

void client_pool::set_alarm(const std::optional<alarm_order>& order) {
  if (!order) return;
  auto made = std::make_unique<alarm>(order->after, weak_from_this());
  const std::lock_guard guard(mutex_);  // released before `made`, which may wait for a call of expire()
  if (order->number == alarm_number_) alarm_.swap(made);
}

}  // namespace curfew::http
