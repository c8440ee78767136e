#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/tls/detail/client_trust.hpp>
#include <curfew/tls/detail/engine.hpp>
#include <memory>

#include "redis/connection.hpp"
#include "redis/settings.hpp"

namespace curfew::redis {

/// A socket, and over TLS what encrypts.
struct link {
  boost::asio::generic::stream_protocol::socket socket;
  std::unique_ptr<tls::engine> tls;  // goes before the socket
};

struct opened {
  link to;
  std::int64_t id = 0;  // of the connection, in the server; 0: not asked for
};

/// Connects, asks Sentinel where that is to be done, and says what is said first: the password, the database, the name.
/// \param trusts  For TLS; null: in plain.
/// Errors: errc::connection_failed, with the reason, also when ctx ends; errc::not_allowed and others of the server.
[[nodiscard]] boost::asio::awaitable<result<opened>> open(context ctx, std::shared_ptr<const settings> given,
                                                          std::shared_ptr<const tls::client_trust> trusts,
                                                          use what_for);

}  // namespace curfew::redis
