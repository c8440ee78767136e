#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core/error.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew::remote {

/// Characters of the longest ticket there is.
inline constexpr std::size_t max_ticket_size = 4096;

/// What the text that `hub::share` returns says. Programs hand the text on and need not look into it; this is for logs, and
/// for queues of their own:
///
///     auto read = remote::ticket::parse(text, key);
///     if (!read) return read.error();   // "ticket with a wrong signature: bad ticket"
///     std::cout << read->origin << ' ' << read->number << '\n';
///
/// The text is `c1.` and base64url without padding, so it fits into a URL, a header field or a key. It has some 45
/// characters, 20 more where it is signed, and the values.
/// Thread safety: a value, as a std::string.
struct ticket {
  /// The random name of the lease that the origin lives under: 20 characters of base64url.
  std::string origin;
  /// Which one of that lease's contexts.
  std::uint64_t number = 0;
  /// What was left of the origin's time when it was shared; never negative. None: it has no deadline. It is what caps a
  /// jump of Redis' clock; the deadline itself is kept by Redis.
  std::optional<std::chrono::milliseconds> remaining;
  /// Values by the names that the options of both sides give to them.
  std::vector<std::pair<std::string, std::string>> values;

  /// The key in Redis under which the origin lives, and the channel that tells of ends: "curfew:{origin}".
  [[nodiscard]] std::string live_key() const;
  /// The field of it that is there, and does not begin with '!', as long as this context lives.
  [[nodiscard]] std::string live_field() const;

  /// \param key  Signs it, by HMAC-SHA256 cut to 16 bytes. Empty: no signature.
  /// Errors: errc::too_large. A name of a wrong length is a mistake of the program: std::invalid_argument.
  [[nodiscard]] result<std::string> text(std::string_view key) const;
  /// Reads a text, of anyone.
  /// \param key  Not empty: a ticket that is not signed with it is refused. Empty: a signed one is refused.
  /// Errors: errc::bad_ticket; error::doing() says what is wrong. No content of the text is quoted.
  [[nodiscard]] static result<ticket> parse(std::string_view text, std::string_view key);

  friend bool operator==(const ticket&, const ticket&) = default;
};

}  // namespace curfew::remote
