#pragma once

#include <cstdint>
#include <curfew/core/error.hpp>
#include <curfew/redis/client.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::redis {

/// What a URL says.
struct address {
  struct host {
    std::string name;
    std::uint16_t port;
  };

  std::vector<host> hosts;  // one, or those of Sentinel; none: a Unix socket
  std::string unix_path;
  std::string master;  // the name that Sentinel knows it by; empty: hosts holds it
  std::string user;
  std::string password;
  unsigned database = 0;
  bool tls = false;
  std::string shown;  // "127.0.0.1:6379", "/run/redis.sock"
};

/// Errors: errc::bad_url, with what is wrong.
[[nodiscard]] result<address> parse_url(std::string_view url);

struct settings {
  address to;
  client_options options;
};

}  // namespace curfew::redis
