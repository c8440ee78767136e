#pragma once

#include <system_error>

namespace curfew::redis {

/// What goes wrong with Redis, as far as programs branch on it. The end of a context is reported as `curfew::errc`.
enum class errc {
  connection_failed = 1,  ///< No Redis answers there; as std::errc::connection_refused. Transient.
  connection_lost,  ///< In the middle; as std::errc::connection_reset. Transient, but look at error::outcome().
  wrong_type,       ///< The key holds another kind of value.
  no_script,        ///< The server does not know the script; `script` sends it again by itself.
  busy,             ///< A script runs for too long there. Transient.
  loading,          ///< The server has started and reads its data. Transient.
  read_only,        ///< A write, on a replica.
  out_of_memory,    ///< The server's limit: `maxmemory`.
  not_allowed,      ///< Wrong user or password, or no right to do that.
  aborted,  ///< A transaction of which nothing was done: a key it watches has changed, or a command is wrong.
  moved,    ///< A cluster, in which another node has the key.
  cluster_down,  ///< Transient.
  conversion,    ///< The answer does not have the type that was asked for.
  too_large,     ///< An answer, or what waits to be received, is larger than the limit.
  protocol,      ///< What came is not an answer of Redis. The connection is closed.
  bad_url,       ///< Not the URL of a Redis.
  other,         ///< Everything else: the message says what.
};

/// The category of `redis::errc`; its name is "curfew.redis".
[[nodiscard]] const std::error_category& redis_category() noexcept;

[[nodiscard]] std::error_code make_error_code(errc code) noexcept;

}  // namespace curfew::redis

template <>
struct std::is_error_code_enum<curfew::redis::errc> : std::true_type {};
