#include <sys/types.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/http/file.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "http/message/conditions.hpp"
#include "http/message/http_date.hpp"
#include "http/message/message_access.hpp"
#include "http/message/syntax.hpp"
#include "http/server/plain_answer.hpp"
#include "http/wire/regular_file.hpp"

namespace curfew::http {

namespace {

constexpr std::size_t copied_file = 16 * 1024;  // a smaller one goes with its head

struct type {
  std::string_view ending;
  std::string_view content_type;
};
constexpr std::array types{
    type{"avif", "image/avif"},
    type{"css", "text/css; charset=utf-8"},
    type{"csv", "text/csv; charset=utf-8"},
    type{"gif", "image/gif"},
    type{"gz", "application/gzip"},
    type{"htm", "text/html; charset=utf-8"},
    type{"html", "text/html; charset=utf-8"},
    type{"ico", "image/vnd.microsoft.icon"},
    type{"jpeg", "image/jpeg"},
    type{"jpg", "image/jpeg"},
    type{"js", "text/javascript; charset=utf-8"},
    type{"json", "application/json"},
    type{"md", "text/markdown; charset=utf-8"},
    type{"mjs", "text/javascript; charset=utf-8"},
    type{"mp3", "audio/mpeg"},
    type{"mp4", "video/mp4"},
    type{"ogg", "audio/ogg"},
    type{"otf", "font/otf"},
    type{"pdf", "application/pdf"},
    type{"png", "image/png"},
    type{"svg", "image/svg+xml"},
    type{"tar", "application/x-tar"},
    type{"ttf", "font/ttf"},
    type{"txt", "text/plain; charset=utf-8"},
    type{"wasm", "application/wasm"},
    type{"wav", "audio/wav"},
    type{"webm", "video/webm"},
    type{"webmanifest", "application/manifest+json"},
    type{"webp", "image/webp"},
    type{"woff", "font/woff"},
    type{"woff2", "font/woff2"},
    type{"xml", "application/xml"},
    type{"zip", "application/zip"},
};

std::string_view type_of(std::string_view path) {
  const auto name = path.substr(path.rfind('/') + 1);
  const auto dot = name.rfind('.');
  if (dot != std::string_view::npos) {
    for (const auto& [ending, content_type] : types) {
      if (same_name(name.substr(dot + 1), ending)) return content_type;
    }
  }
  return "application/octet-stream";
}

response refusal(const error& why) {
  const auto& code = why.code();
  if (code == std::errc::permission_denied || code == std::errc::operation_not_permitted)
    return plain_answer(status::forbidden);
  for (const auto absent :
       {std::errc::no_such_file_or_directory, std::errc::not_a_directory, std::errc::is_a_directory,
        std::errc::invalid_argument, std::errc::filename_too_long, std::errc::too_many_symbolic_link_levels,
        std::errc::cross_device_link, std::errc::no_such_device_or_address}) {
    if (code == absent) return plain_answer(status::not_found);
  }
  return plain_answer(status::internal_server_error);
}

/// The time of the last change, to the nanosecond, and the size.
std::string tag_of(const struct stat& about) {
  return entity_tag({static_cast<std::uint64_t>(about.st_mtim.tv_sec),
                     static_cast<std::uint64_t>(about.st_mtim.tv_nsec),
                     static_cast<std::uint64_t>(about.st_size)});
}

response answer(const request& asks, regular_file from, std::string path, std::string_view content_type) {
  const auto tag = tag_of(from.about);
  const std::chrono::sys_seconds changed{std::chrono::seconds(from.about.st_mtim.tv_sec)};
  const auto size = from.size();
  const representation now{tag, changed};
  const bool is_get = asks.method() == "GET";

  const auto verdict = judge_conditions(asks.fields(), now, is_get || asks.method() == "HEAD");
  if (verdict == condition::failed) return plain_answer(status::precondition_failed);
  response made;
  made.set("ETag", tag).set("Last-Modified", to_http_date(changed));
  if (verdict == condition::not_modified) {
    made.status(status::not_modified);
    return made;
  }
  byte_range part{0, size};
  if (const auto asked = is_get ? asked_range(asks.fields(), now, size) : std::nullopt) {
    if (asked->length == 0) {
      response none = plain_answer(status::range_not_satisfiable);
      none.set("Content-Range", "bytes */" + std::to_string(size));
      return none;
    }
    part = *asked;
    made.status(status::partial_content);
    made.set("Content-Range", "bytes " + std::to_string(part.offset) + '-' +
                                  std::to_string(part.offset + part.length - 1) + '/' + std::to_string(size));
  }
  made.set("Accept-Ranges", "bytes");
  made.set("Content-Type", content_type.empty() ? type_of(path) : content_type);
  if (part.length <= copied_file) {
    made.body().resize(part.length);
    const ssize_t got = read_at(from.file.get(), made.body(), part.offset);
    if (got == static_cast<ssize_t>(part.length)) return made;
    made.body().clear();
  }
  response_access::file(made) =
      std::make_shared<const file_body>(std::move(from), std::move(path), part.offset, part.length);
  return made;
}

}  // namespace

response file(const request& asks, const std::string& path, std::string_view content_type) {
  auto opened = regular_file::open(path);
  if (!opened) return refusal(opened.error());
  return answer(asks, std::move(*opened), path, content_type);
}

response file_below(const request& asks, const std::string& folder, std::string_view path,
                    std::string_view content_type) {
  if (path.find('\0') != std::string_view::npos) return plain_answer(status::not_found);
  std::string name(path);
  auto opened = regular_file::open_below(folder, name);
  if (!opened) return refusal(opened.error());
  return answer(asks, std::move(*opened), std::move(name), content_type);
}

}  // namespace curfew::http
