#include <algorithm>
#include <boost/url/pct_string_view.hpp>
#include <curfew/http/message.hpp>

#include "http/message/body_sink.hpp"
#include "http/message/message_access.hpp"
#include "http/message/target.hpp"

namespace curfew::http {

std::optional<std::string> percent_decode(std::string_view text, bool form) {
  const auto checked = boost::urls::make_pct_string_view({text.data(), text.size()});
  if (!checked) return std::nullopt;
  boost::urls::encoding_opts how;
  how.space_as_plus = form;
  return checked->decode(how);
}

bool is_unreserved(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-._~").find(c) != std::string_view::npos;
}

void append_escaped(std::string& to, char c) {
  static constexpr char digits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  to += '%';
  to += digits[byte >> 4];
  to += digits[byte & 15];
}

std::pair<std::string_view, std::string_view> split_target(std::string_view target) noexcept {
  const auto mark = target.find('?');
  if (mark == std::string_view::npos) return {target, {}};
  return {target.substr(0, mark), target.substr(mark + 1)};
}

request& request::file(std::string path, std::uint64_t offset, std::optional<std::uint64_t> length) {
  body_.clear();
  auto made = std::make_shared<streamed>();
  made->path = std::move(path);
  made->offset = offset;
  made->length = length;
  streamed_ = std::move(made);
  return *this;
}

request& request::stream(body_source source, repeatable again) {
  body_.clear();
  auto made = std::make_shared<streamed>();
  made->source = std::move(source);
  made->again = again;
  streamed_ = std::move(made);
  return *this;
}

std::string_view request::param(std::string_view name) const noexcept {
  for (const auto& [key, value] : params_) {
    if (key == name) return value;
  }
  return {};
}

std::string_view request::client_address() const noexcept {
  if (!client_.empty()) return client_;
  const std::string_view all = remote_;
  if (all.starts_with('[')) return all.substr(1, all.find(']') - 1);
  const auto colon = all.rfind(':');
  return colon + 1 == all.size() ? all : all.substr(0, colon);  // "unix:" has no port
}

std::optional<std::string> request::query(std::string_view name) const {
  // Pair by pair, not with Boost.URL's params: for them one malformed pair, or a '|' unescaped, spoils the query.
  auto rest = split_target(target_).second;
  while (!rest.empty()) {
    const auto pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const auto equals = pair.find('=');
    const auto key = percent_decode(pair.substr(0, equals), true);
    if (!key || *key != name) continue;
    auto value =
        equals == std::string_view::npos ? std::string() : percent_decode(pair.substr(equals + 1), true);
    if (value) return value;
  }
  return std::nullopt;
}

boost::asio::awaitable<result<>> body_writer::async_write(context ctx, std::string bytes) {
  return sink_->write(std::move(ctx), std::move(bytes));
}

std::string response::status_line() const {
  std::string line = "HTTP/1.1 " + std::to_string(to_number(status_));
  if (const auto name = reason(status_); !name.empty()) {
    line += ' ';
    line += name;
  }
  return line;
}

response text(status code, std::string body) {
  return response(code, "text/plain; charset=utf-8", std::move(body));
}

response json(status code, std::string body) { return response(code, "application/json", std::move(body)); }

response stream(std::string_view content_type, body_source source) {
  response made;
  made.set("Content-Type", content_type);
  made.stream(std::move(source));
  return made;
}

response events(body_source source) {
  auto made = stream("text/event-stream", std::move(source));
  made.set("Cache-Control", "no-cache");
  return made;
}

std::string event(std::string_view data, std::string_view name) {
  constexpr std::string_view line_ends = "\r\n";
  std::string made;
  made.reserve(data.size() + name.size() + 32);
  if (!name.empty()) {
    made += "event: ";
    made += name.substr(0, name.find_first_of(line_ends));  // an end of line would begin another field
    made += '\n';
  }
  for (;;) {
    const auto end = data.find_first_of(line_ends);
    made += "data: ";
    made += data.substr(0, end);
    made += '\n';
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + (data.substr(end, 2) == "\r\n" ? 2 : 1));
  }
  made += '\n';
  return made;
}

}  // namespace curfew::http
