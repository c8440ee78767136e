#include "front/page.hpp"

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "assets.hpp"

namespace curfew_dashboard {

namespace http = curfew::http;

namespace {

/// FNV-1a: it tells versions apart, and keeps nobody out.
std::string make_etag(std::string_view content) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : content) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "\"%016llx\"", static_cast<unsigned long long>(hash));
  return text.data();
}

http::response file_response(const asset& file, const std::string& etag, const http::request& request) {
  const std::string* known = request.fields().find("If-None-Match");
  http::response made(http::status::not_modified);
  if (known == nullptr || *known != etag) {
    made = http::response(http::status::ok, file.content_type, std::string(file.content));
  }
  made.set("ETag", etag);
  made.set("Cache-Control", "no-cache");
  return made;
}

boost::asio::awaitable<http::response> ready(http::response made) { co_return made; }

}  // namespace

void add_page(http::router& routes, const std::function<http::handler(http::handler)>& wrap) {
  for (const asset& file : assets()) {
    const http::handler serve =
        wrap([file, etag = make_etag(file.content)](curfew::context, const http::request& request) {
          return ready(file_response(file, etag, request));
        });
    routes.get("/" + std::string(file.path), serve);
    if (file.path == "index.html") routes.get("/", serve);
  }
}

}  // namespace curfew_dashboard
