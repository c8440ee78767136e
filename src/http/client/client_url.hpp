#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace curfew::http {

/// A URL that a client can ask for, in its parts.
struct client_url {
  /// Absolute, normalised, without userinfo and fragment: what is sent and what errors show.
  std::string text;
  std::string origin;  ///< "http://example.org:80": the same for all that belong to one server.
  std::string host;    ///< Without brackets, with the zone: to be looked up.
  std::uint16_t port = 0;
  std::string authority;  ///< "example.org:8080", without the default port: for the field Host.
  std::string target;     ///< "/path?query": for the request line.
  std::string user;       ///< Userinfo, decoded; `user` may be empty with `has_user`.
  std::string password;
  bool has_user = false;
  bool tls = false;
  bool loopback = false;  ///< localhost, 127.0.0.0/8, ::1

  /// \param why  Set where the result is none: what is wrong with it.
  static std::optional<client_url> parse(std::string_view text, std::string& why);
  /// What `location`, absolute or relative, means when it was found at this URL.
  [[nodiscard]] std::optional<client_url> resolve(std::string_view location, std::string& why) const;
};

/// Shows text that is not a URL in an error: without possible userinfo, printable, of limited length.
[[nodiscard]] std::string shown_url(std::string_view text);

}  // namespace curfew::http
