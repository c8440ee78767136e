#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/client/proxies.hpp"
#include "http/client/transfer.hpp"
#include "http/message/trace_fields.hpp"

namespace curfew::http {

struct request_head_options {
  const fields* instead = nullptr;     ///< Of those of the request, if it is set.
  bool decodes;                        ///< Content codings are welcome; else identity is.
  std::optional<std::string> timeout;  ///< What remains of the deadline, unless the caller has set it.
  std::optional<trace_fields> trace;   ///< As `timeout`.
  const proxy_server* proxy;           ///< To which it is sent; null: to the server, or through a tunnel.
};

/// "Basic dTpw"
[[nodiscard]] std::string basic_credentials(std::string_view user, std::string_view password);

/// Appends the header of the request, with its empty line: Host, User-Agent, Accept and Accept-Encoding where the
/// request does not set them, its fields, Content-Length or, where that
/// is not known, Transfer-Encoding.
void append_request_head(std::string& out, const call_target& target, const request_head_options& options);

}  // namespace curfew::http
