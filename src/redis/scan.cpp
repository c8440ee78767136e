#include <curfew/redis/scan.hpp>
#include <utility>

namespace curfew::redis {

command<key_scan::answer> key_scan::ask() const {
  return raw<answer>({"SCAN", cursor_, "MATCH", pattern_, "COUNT", count_});
}

std::vector<std::string> key_scan::take(answer got) {
  cursor_ = std::move(got.first);
  has_begun_ = true;
  return std::move(got.second);
}

result<std::vector<std::string>> key_scan::next(const context& ctx) {
  std::vector<std::string> keys;
  while (keys.empty() && !is_over()) {
    auto got = client_->run(ctx, ask());
    if (!got) return std::move(got).error();
    keys = take(std::move(*got));
  }
  return keys;
}

boost::asio::awaitable<result<std::vector<std::string>>> key_scan::async_next(context ctx) {
  std::vector<std::string> keys;
  while (keys.empty() && !is_over()) {
    auto got = co_await client_->async_run(ctx, ask());
    if (!got) co_return std::move(got).error();
    keys = take(std::move(*got));
  }
  co_return keys;
}

}  // namespace curfew::redis
