#include "http/wire/response_head.hpp"

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>

#include "http/message/message_access.hpp"
#include "http/message/syntax.hpp"
#include "http/wire/regular_file.hpp"

namespace curfew::http {

namespace {

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 20> text{};
  out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
}

enum class meaning { plain, connection, framing, date };

meaning meaning_of(std::string_view name) noexcept {
  switch (name.size()) {
    case 4:
      return same_name(name, "Date") ? meaning::date : meaning::plain;
    case 10:
      return same_name(name, "Connection")   ? meaning::connection
             : same_name(name, "Keep-Alive") ? meaning::framing
                                             : meaning::plain;
    case 14:
      return same_name(name, "Content-Length") ? meaning::framing : meaning::plain;
    case 17:
      return same_name(name, "Transfer-Encoding") ? meaning::framing : meaning::plain;
    default:
      return meaning::plain;
  }
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

}  // namespace

std::optional<framing> append_head(std::string& out, const response& what, std::string_view date,
                                   head_options& options) {
  const unsigned code = to_number(what.status());
  if (code < 200 || code > 999) return std::nullopt;  // 1xx is no answer, and no handler switches protocols
  const std::size_t before = out.size();
  if (what.status() == status::ok) {
    out += "HTTP/1.1 200 OK\r\n";
  } else {
    out += "HTTP/1.1 ";
    append_number(out, code);
    out += ' ';  // stands there even if nothing follows
    out += reason(what.status());
    out += "\r\n";
  }
  for (const auto& [name, value] : what.fields()) {
    if (!is_token(name) || !is_field_value(value)) {
      out.resize(before);
      return std::nullopt;
    }
    switch (meaning_of(name)) {
      case meaning::framing:
        continue;
      case meaning::connection:
        if (any_item(value, [](std::string_view option) { return same_name(option, "close"); })) {
          options.keep_alive = false;
        }
        continue;
      case meaning::date:
        date = {};
        break;
      case meaning::plain:
        break;
    }
    append_field(out, name, value);
  }
  out += date;

  framing how = framing::sized;
  const bool bodiless = code == 204 || code == 304;
  if (bodiless) {
    how = framing::none;
  } else if (!what.source()) {
    out += "Content-Length: ";
    const auto& file = response_access::file(what);
    append_number(out, file ? file->length : what.body().size());
    out += "\r\n";
    if (options.is_head) how = framing::none;
  } else if (options.http11) {
    out += "Transfer-Encoding: chunked\r\n";
    how = options.is_head ? framing::none : framing::chunked;
  } else {
    how = options.is_head ? framing::none : framing::until_close;
    options.keep_alive = false;
  }
  if (!options.keep_alive) {
    out += "Connection: close\r\n";
  } else if (!options.http11) {
    out += "Connection: keep-alive\r\n";
  }
  out += "\r\n";
  return how;
}

}  // namespace curfew::http
