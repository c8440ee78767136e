#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <system_error>

namespace curfew::http {

/// Sees an address and a port before a client connects to it; with a code it refuses it.
///
/// It is called for each address that a name has, in the thread of the call's loop (of a blocking call, the calling one), so
/// by several calls at a time, and should not block. What it throws counts as a refusal. Since it sees what is connected to and not what the
/// name meant some time ago, a name server that changes its answer in between wins nothing.
using dial_hook = std::function<std::error_code(const boost::asio::ip::tcp::endpoint& to)>;

/// For `client_options::on_dial`: refuses, with errc::address_refused, all that is not a public address. For services that
/// fetch URLs of strangers (server-side request forgery):
///
///     http::client fetcher(http::client_options().on_dial(http::refuse_private_addresses));
///
/// Refused are, of IPv4: this host and network (0/8, 127/8), private (RFC 1918), shared (100.64/10), link-local with the
/// metadata service of clouds (169.254/16) and that of Azure (168.63.129.16), protocol assignments (192.0.0/24),
/// documentation, 6to4 relays, benchmarks, multicast, and 240/4. Of IPv6: everything but 2000::/3, so loopback, unspecified,
/// unique local, link-local and multicast, and of that what is for documentation, Teredo, 6to4 and protocol assignments.
/// IPv4 inside IPv6, mapped (::ffff:0:0/96) or NAT64 (64:ff9b::/96), is judged as IPv4. A NAT64 prefix of the
/// network's own cannot be told from any other network.
/// Source: IANA's registries of special-purpose addresses (RFC 6890).
[[nodiscard]] std::error_code refuse_private_addresses(const boost::asio::ip::tcp::endpoint& to);

}  // namespace curfew::http
