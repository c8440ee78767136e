#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <curfew/core/context.hpp>
#include <curfew/http/client.hpp>
#include <expected>
#include <memory>
#include <string>

#include "base/text.hpp"
#include "front/service_process.hpp"

namespace curfew_dashboard {

namespace http = curfew::http;

/// A request to a service, with its token; the service's address or why there is none.
asio::awaitable<std::expected<http::request, std::string>> make_call(curfew::context ctx,
                                                                     std::shared_ptr<service_process> service,
                                                                     std::string method, std::string path);

/// Sends it and reads the answer, which has to be an object of JSON. Errors: a sentence for people.
asio::awaitable<std::expected<json::object, std::string>> async_call(curfew::context ctx,
                                                                     std::shared_ptr<http::client> client,
                                                                     std::shared_ptr<service_process> service,
                                                                     std::string method, std::string path,
                                                                     std::string body);

/// What a service sent, as an object; none if it is none.
[[nodiscard]] std::optional<json::object> parse_object(std::string_view text);

}  // namespace curfew_dashboard
