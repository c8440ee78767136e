#pragma once

#include <system_error>

namespace curfew::http {

/// What goes wrong in HTTP, and why a handler's context ended. The end of a context is reported as
/// `curfew::errc`, with one of these as its cause. A failure that no context's end caused is one of these alone.
enum class errc {
  // Causes with which a handler's context ends.
  client_gone = 1,  ///< The client closed, half-closed or reset its connection.
  handler_done,     ///< The response has been sent: what still runs for the request is in vain.
  shutdown,         ///< The server stops and its grace time is over.
  // The cause with which the context of a request body's source ends.
  answered,  ///< The server has answered, or the call is over: what is left of the body is in vain.
  // Why a request of the client failed.
  bad_url,             ///< Not a URL, or not http:// or https://.
  name_not_found,      ///< The host's name has no address.
  connection_refused,  ///< No server listens there, or the host cannot be reached.
                       ///< As std::errc::connection_refused.
  connection_lost,     ///< Closed or reset before a response began, in the TLS handshake too. As
                       ///< std::errc::connection_reset.
  tls_failure,         ///< No trust in the certificate, or the handshake failed.
  truncated_body,      ///< The connection ended before the body did. As std::errc::connection_reset.
  bad_response,        ///< What came is not HTTP.
  too_large,           ///< Header or body are larger than the limit: of the client's options, of the route.
  too_many_redirects,  ///< More than the client's options allow.
  // Of the server.
  bad_address,  ///< Not an address to listen on.
  // Of the client again.
  proxy_refused,  ///< The proxy does not make the connection: it says no, or what it says is no answer.
  // Why a request of the client was stopped by its own rules.
  address_refused,   ///< By `client_options::on_dial`.
  redirect_refused,  ///< By `client_options::on_redirect`, or since it leads from https:// to http://.
  retry_too_late,    ///< The server asks to wait for longer than the deadline allows (obeying_retry_after).
  request_refused,   ///< By `client_options::on_request`, which has thrown.
  response_refused,  ///< By `client_options::on_response`, which has thrown.
};

/// The category of `http::errc`; its name is "curfew.http".
[[nodiscard]] const std::error_category& http_category() noexcept;

[[nodiscard]] std::error_code make_error_code(errc code) noexcept;

}  // namespace curfew::http

template <>
struct std::is_error_code_enum<curfew::http::errc> : std::true_type {};
