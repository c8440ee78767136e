#pragma once

#include <curfew/http/message.hpp>
#include <curfew/http/status.hpp>
#include <string>
#include <utility>

namespace curfew::http {

/// What the server says by itself: "404 Not Found\n".
[[nodiscard]] inline response plain_answer(status code) {
  std::string body = std::to_string(to_number(code));
  body += ' ';
  body += reason(code);
  body += '\n';
  return text(code, std::move(body));
}

}  // namespace curfew::http
