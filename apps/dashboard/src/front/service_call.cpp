#include "front/service_call.hpp"

#include <boost/json/parse.hpp>
#include <curfew/http/status.hpp>
#include <optional>
#include <string_view>
#include <utility>

namespace curfew_dashboard {

std::optional<json::object> parse_object(std::string_view text) {
  boost::system::error_code failed;
  json::value parsed = json::parse(text, failed);
  if (failed || !parsed.is_object()) return std::nullopt;
  return std::move(parsed.get_object());
}

asio::awaitable<std::expected<http::request, std::string>> make_call(curfew::context ctx,
                                                                     std::shared_ptr<service_process> service,
                                                                     std::string method, std::string path) {
  auto where = co_await service->async_where(std::move(ctx));
  if (!where) co_return std::unexpected(std::move(where).error());
  http::request made(std::move(method), *where + path);
  made.set("Authorization", "Bearer " + service->token());
  co_return made;
}

asio::awaitable<std::expected<json::object, std::string>> async_call(curfew::context ctx,
                                                                     std::shared_ptr<http::client> client,
                                                                     std::shared_ptr<service_process> service,
                                                                     std::string method, std::string path,
                                                                     std::string body) {
  auto request = co_await make_call(ctx, service, std::move(method), std::move(path));
  if (!request) co_return std::unexpected(std::move(request).error());
  if (!body.empty()) request->body(std::move(body), "application/json");
  auto response = co_await client->async_send(ctx, *std::move(request));
  if (!response) co_return std::unexpected(response.error().message());
  auto object = parse_object(response->body());
  if (response->status() != http::status::ok || !object) {
    co_return std::unexpected("The " + service->name() + " service answered with " + response->status_line() +
                              ".");
  }
  co_return *std::move(object);
}

}  // namespace curfew_dashboard
