#pragma once

#include <cstddef>
#include <curfew/http/message.hpp>
#include <string>
#include <string_view>

#include "http/client/client_pool.hpp"
#include "http/wire/client_session.hpp"

namespace curfew::http {

/// The place for a connection, the connection on which a request is under way, and what has come of its answer.
struct client_exchange {
  explicit client_exchange(std::size_t max_header) : session(max_header) {}

  client_lease lease;
  client_session session;
  response head;
  std::string input;  ///< Received, not yet understood.
  bool cut_off =
      false;  ///< The request was not sent to its end, and will not be: the connection is not kept.

  /// What is not understood yet, with new bytes behind. Valid until keep().
  std::string_view with_rest(std::string_view bytes) {
    return input.empty() ? bytes : std::string_view(input += bytes);
  }
  /// Keeps the end of what with_rest() gave.
  void keep(std::string_view rest) {
    if (input.empty()) {
      input = rest;
    } else {
      input.erase(0, input.size() - rest.size());
    }
  }
};

}  // namespace curfew::http
