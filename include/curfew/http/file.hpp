#pragma once

#include <curfew/http/message.hpp>
#include <string>
#include <string_view>

namespace curfew::http {

/// A response that is a file, for a handler to return:
///
///     http::router routes;
///     routes.get("/report", [](curfew::context, const http::request& request) -> asio::awaitable<http::response> {
///       co_return http::file(request, "/srv/www/report.pdf");
///     });
///
/// It has Content-Length, Last-Modified and an ETag, and answers what browsers and downloads ask: 304 where the client has
/// the file (If-None-Match, If-Modified-Since), 206 with the one range that is asked for (Range, If-Range), 416 for a
/// range that is not there, 412 (If-Match, If-Unmodified-Since); several ranges get the whole file. A file that is not
/// there, or is no regular one, gets 404; one that may not be read, 403; what else the system says, 500.
///
/// It is opened now, and sent by the thread of the connection: over plain connections the kernel sends it (sendfile). Where
/// the disk has to be read, that holds the thread, as it does in other servers; for a file system that hangs rather
/// stream with `http::stream` and `async_offload`. One that becomes shorter meanwhile cuts the response off, which is told
/// to `on_error`. The sending ends with the context of the request, so also at the server's max_request_time:
/// `route_options::no_time_limit` is for large files.
///
/// \param path          As it is, so not what a client sends: see file_below.
/// \param content_type  Empty: by the end of the name, ".html", ".png"; application/octet-stream where that says nothing.
[[nodiscard]] response file(const request& asks, const std::string& path, std::string_view content_type = {});

/// The same for a path that comes from a client. It is looked up below `folder`, and one that leads out of it gets 404, be it
/// by "..", as an absolute path, or through a symbolic link.
///
///     http::router routes;
///     routes.get("/photos/{name}", [](curfew::context, const http::request& request) -> asio::awaitable<http::response> {
///       co_return http::file_below(request, "/srv/photos", request.param("name"));
///     });
[[nodiscard]] response file_below(const request& asks, const std::string& folder, std::string_view path,
                                  std::string_view content_type = {});

}  // namespace curfew::http
