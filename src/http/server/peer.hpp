#pragma once

#include <curfew/http/tls.hpp>
#include <memory>
#include <optional>
#include <string>

#include "http/server/address_count.hpp"
#include "http/server/trusted.hpp"

namespace curfew::http {

class server_identity;

/// The other end of a connection.
struct peer {
  std::string name;     // "127.0.0.1:40312", "unix:"
  host address;         // what fields of a request are judged by: its own, or what a PROXY header told
  std::string told;     // address, where a PROXY header told one
  bool by_tls = false;  // here, or as a PROXY header told
  bool is_trusted = false;
  bool sends_proxy_header = false;
  std::optional<address_count::place> place;
  std::shared_ptr<const server_identity> identity;      // what it is to be encrypted with; null: in plain
  std::shared_ptr<const peer_certificate> certificate;  // that it has shown
};

}  // namespace curfew::http
