#pragma once

#include <iosfwd>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace curfew::http {

/// A status code of RFC 9110; any other number from 100 to 999 is a valid value too.
enum class status : unsigned short {
  ok = 200,
  created = 201,
  accepted = 202,
  no_content = 204,
  partial_content = 206,
  moved_permanently = 301,
  found = 302,
  see_other = 303,
  not_modified = 304,
  temporary_redirect = 307,
  permanent_redirect = 308,
  bad_request = 400,
  unauthorized = 401,
  forbidden = 403,
  not_found = 404,
  method_not_allowed = 405,
  not_acceptable = 406,
  request_timeout = 408,
  conflict = 409,
  gone = 410,
  length_required = 411,
  precondition_failed = 412,
  content_too_large = 413,
  uri_too_long = 414,
  unsupported_media_type = 415,
  range_not_satisfiable = 416,
  expectation_failed = 417,
  unprocessable_content = 422,
  too_many_requests = 429,
  request_header_fields_too_large = 431,
  internal_server_error = 500,
  not_implemented = 501,
  bad_gateway = 502,
  service_unavailable = 503,
  gateway_timeout = 504,
  http_version_not_supported = 505,
};

[[nodiscard]] constexpr unsigned to_number(status code) noexcept { return static_cast<unsigned>(code); }

/// "Not Found"; empty for a number without a name.
[[nodiscard]] std::string_view reason(status code) noexcept;

/// Writes "404 Not Found".
std::ostream& operator<<(std::ostream& out, status code);

/// The category of statuses as error codes, of which `checked` makes use; its name is "curfew.http.status", a message
/// "404 Not Found". 408, 425, 429, 502, 503 and 504 are as std::errc::resource_unavailable_try_again.
[[nodiscard]] const std::error_category& status_category() noexcept;

[[nodiscard]] std::error_code make_error_code(status code) noexcept;

}  // namespace curfew::http

template <>
struct std::is_error_code_enum<curfew::http::status> : std::true_type {};
