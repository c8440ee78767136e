#pragma once

#include <cstdlib>

#include "http/client/client_url.hpp"

namespace curfew::http {

/// Does the environment name a proxy that a request for that URL may have to go through? Never for the own machine.
[[nodiscard]] inline bool goes_through_proxy(const client_url& url) noexcept {
  if (url.loopback) return false;
  const auto is_set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  return is_set("http_proxy") || is_set("all_proxy") || is_set("ALL_PROXY");
}

/// Does libcurl carry it: over TLS, or through a proxy?
[[nodiscard]] inline bool needs_curl(const client_url& url) noexcept {
  return url.tls || goes_through_proxy(url);
}

}  // namespace curfew::http
