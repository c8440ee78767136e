#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/redis/client.hpp>
#include <curfew/redis/command.hpp>
#include <curfew/redis/error.hpp>
#include <string>
#include <utility>
#include <vector>

namespace curfew::redis {

/// The keys of a Redis, some at a time, while others work with it:
///
///     redis::key_scan sessions(cache, "session:*");
///     for (;;) {
///       auto some = sessions.next(ctx);
///       if (!some) return some.error();
///       if (some->empty()) break;
///       for (const std::string& key : *some) std::cout << key << '\n';
///     }
///
/// A key that is there from the first call to the last comes at least once, maybe more often. Of one that comes or goes
/// meanwhile nothing is promised.
///
/// Lifetime:       the client outlives it.
/// Thread safety:  one call at a time.
class key_scan {
 public:
  /// \param pattern  As of KEYS: "user:*", "user:?", "[ab]*".
  /// \param count    How many keys the server looks at for each answer.
  explicit key_scan(client& of, std::string pattern = "*", std::size_t count = 1000)
      : client_(&of),
        pattern_(std::move(pattern)),
        count_(std::to_string(count)) {}

  /// \return some keys; none: there are no more.
  /// Errors:        as those of client::run.
  /// Cancellation:  the next call goes on where this one began.
  [[nodiscard]] result<std::vector<std::string>> next(const context& ctx);
  [[nodiscard]] boost::asio::awaitable<result<std::vector<std::string>>> async_next(context ctx);

 private:
  using answer = std::pair<std::string, std::vector<std::string>>;  // where to go on, and keys

  [[nodiscard]] command<answer> ask() const;
  [[nodiscard]] bool is_over() const noexcept { return has_begun_ && cursor_ == "0"; }
  std::vector<std::string> take(answer got);

  client* client_;
  std::string pattern_;
  std::string count_;
  std::string cursor_ = "0";
  bool has_begun_ = false;
};

}  // namespace curfew::redis
