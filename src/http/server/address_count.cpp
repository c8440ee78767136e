#include "http/server/address_count.hpp"

#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/address_v6.hpp>

namespace curfew::http {

std::optional<address_count::place> address_count::enter(const boost::asio::ip::address& from) {
  key k{from.is_v6(), 0};
  if (from.is_v6()) {
    const auto bytes = from.to_v6().to_bytes();
    for (std::size_t i = 0; i < 8; ++i) k.second = k.second << 8U | bytes[i];
  } else {
    k.second = from.to_v4().to_uint();
  }
  const std::lock_guard guard(mutex_);
  auto& count = counts_[k];
  if (count == most_) return std::nullopt;
  ++count;
  return place(*this, k);
}

void address_count::leave(const key& k) noexcept {
  const std::lock_guard guard(mutex_);
  const auto at = counts_.find(k);
  if (--at->second == 0) counts_.erase(at);
}

}  // namespace curfew::http
