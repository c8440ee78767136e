#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

namespace curfew::http {

/// Counts the connections of each address. A /64 of IPv6 counts as one address: a client has all of it.
///
/// Thread safety: any thread. Lifetime: outlives its places.
/// Invariant: `mutex_` guards `counts_`, whose numbers are those of the places; none of them is 0.
class address_count {
  using key = std::pair<bool, std::uint64_t>;  // is it IPv6? All of IPv4, or the upper half of IPv6

 public:
  /// A connection that is counted, for as long as this lives.
  class place {
   public:
    place(place&& other) noexcept : of_(std::exchange(other.of_, nullptr)), key_(std::move(other.key_)) {}
    place& operator=(place&& other) noexcept {
      std::swap(of_, other.of_);
      std::swap(key_, other.key_);
      return *this;
    }
    ~place() {
      if (of_ != nullptr) of_->leave(key_);
    }

   private:
    friend class address_count;
    place(address_count& of, key k) noexcept : of_(&of), key_(k) {}

    address_count* of_;
    key key_;
  };

  /// \param most  Connections per address; 0: no limit, and nothing is counted.
  explicit address_count(std::size_t most) noexcept : most_(most) {}

  [[nodiscard]] bool is_limited() const noexcept { return most_ != 0; }
  /// Of a limited one. \return none if the address has as many as it may have.
  std::optional<place> enter(const boost::asio::ip::address& from);

 private:
  void leave(const key& k) noexcept;

  const std::size_t most_;
  std::mutex mutex_;
  std::map<key, std::size_t> counts_;
};

}  // namespace curfew::http
