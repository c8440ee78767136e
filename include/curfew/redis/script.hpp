#pragma once

#include <curfew/redis/command.hpp>
#include <curfew/redis/commands.hpp>
#include <memory>
#include <string>
#include <string_view>

namespace curfew::redis {

/// A script in Lua, which the server carries out at once and as a whole:
///
///     const redis::script add_up("return redis.call('GET', KEYS[1]) + redis.call('GET', KEYS[2])");
///     auto sum = cache.run(ctx, add_up.call<std::int64_t>({"a", "b"}, {}));
///
/// Only its digest is sent; its text, too, where the server does not know it, and in a transaction.
///
/// Thread safety: any thread, any number of calls.
class script {
 public:
  explicit script(std::string_view lua);

  /// Its SHA-1, in 40 hexadecimal digits.
  [[nodiscard]] const std::string& sha() const noexcept { return sha_; }

  template <class T = reply>
  [[nodiscard]] command<T> call(const words& keys, const words& arguments) const {
    return command<T>(request(keys, arguments));
  }

 private:
  [[nodiscard]] detail::request request(const words& keys, const words& arguments) const;

  std::shared_ptr<const std::string> lua_;
  std::string sha_;
};

}  // namespace curfew::redis
