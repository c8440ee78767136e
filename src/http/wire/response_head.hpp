#pragma once

#include <curfew/http/message.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace curfew::http {

/// How a response marks the end of its body.
enum class framing {
  none,   ///< There is no body, whatever the response holds: HEAD, 204, 304.
  sized,  ///< Content-Length.
  chunked,
  until_close,
};

/// What the request and the connection say about the head of a response.
struct head_options {
  bool is_head = false;  ///< The method is HEAD.
  bool http11 = true;
  bool keep_alive = true;  ///< In: may the connection stay? Out of append_head: does it?
};

/// Appends the status line, the fields and the empty line. A handler's fields about framing, connection and
/// length are left out: those are the connection's. `date` is a whole line.
/// \return the framing; none if the client would read a status, a field's name or a value otherwise than it was
///         meant. `out` is unchanged then.
[[nodiscard]] std::optional<framing> append_head(std::string& out, const response& what,
                                                 std::string_view date, head_options& options);

}  // namespace curfew::http
