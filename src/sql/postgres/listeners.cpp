#include <boost/asio/awaitable.hpp>
#include <curfew/io/offload.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "sql/postgres/drive.hpp"
#include "sql/postgres/notifications.hpp"
#include "sql/postgres/pool.hpp"
#include "sql/postgres/statement.hpp"

namespace curfew::sql::postgres {

namespace asio = boost::asio;

namespace {

std::string quoted_name(std::string_view name) {
  std::string made("\"");
  for (const char c : name) {
    if (c == '"') made += c;
    made += c;
  }
  return made + '"';
}

}  // namespace

class pool::listener final : public sql::listener::impl {
 public:
  explicit listener(std::unique_ptr<connection> on) : on_(std::move(on)) {}

  result<notification> next(const context& ctx) override { return next_notification(*on_, ctx); }
  asio::awaitable<result<notification>> async_next(context ctx) override {
    return async_next_notification(*on_, std::move(ctx));
  }

 private:
  const std::unique_ptr<connection> on_;
};

result<sql::listener> pool::listen(const context& ctx, const std::string& channel) {
  const std::string text = "listen " + quoted_name(channel);
  auto made = connection::open(ctx, settings_);
  if (!made) return no_connection(made.error(), made.error(), text, database_);
  if (auto sent = (*made)->start(text, nothing, connection::how::plain); !sent)
    return std::move(sent).error();
  if (!drive(**made, ctx)) return cut_off(ctx, text);
  if (auto done = (*made)->take(); !done) return std::move(done).error();
  return sql::listener(std::make_unique<listener>(*std::move(made)));
}

asio::awaitable<result<sql::listener>> pool::async_listen(context ctx, std::string channel) {
  return listen_on(self(), std::move(ctx), std::move(channel));
}

asio::awaitable<result<sql::listener>> pool::listen_on(std::shared_ptr<pool> of, context ctx,
                                                       std::string channel) {
  const auto work = [&of, &channel](const context& c) { return of->listen(c, channel); };
  auto made = co_await async_offload(std::move(ctx), work);
  if (!made) co_return made.error();
  co_return *std::move(made);
}

}  // namespace curfew::sql::postgres
