#include "http/wire/client_session.hpp"

#include <algorithm>
#include <limits>

#include "http/message/syntax.hpp"

namespace curfew::http {

namespace {

// Sizes beyond it are no sizes: nothing that measures a file could hold them.
constexpr std::uint64_t max_size = std::numeric_limits<std::int64_t>::max();
constexpr std::string_view version = "HTTP/1.";
constexpr std::size_t max_size_digits = 16;
constexpr std::size_t usual_head = 500;  // the fields of most servers fit in

/// The value of a hexadecimal digit; 16 for other characters.
constexpr unsigned hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? static_cast<unsigned>(lower - 'a' + 10) : 16;
}

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// "HTTP/1.1 200 OK"; a server without a reason to give may leave out the blank before it.
bool is_status_line(std::string_view line) noexcept {
  return line.size() >= 12 && line.starts_with(version) && (line[7] == '0' || line[7] == '1') &&
         line[8] == ' ' && std::ranges::all_of(line.substr(9, 3), is_digit) &&
         (line.size() == 12 || line[12] == ' ') && is_field_value(line.substr(12));
}

}  // namespace

void client_session::expect(bool is_head, response& into) noexcept {
  *this = client_session(max_header_);
  into_ = &into;
  is_head_ = is_head;
  stage_ = stage::status_line;
}

client_session::event client_session::fail(errc why, std::string_view detail) noexcept {
  failure_ = why;
  detail_ = detail;
  stage_ = stage::failed;
  return event::failed;
}

client_session::event client_session::finish(std::string_view rest) noexcept {
  sound_ = sound_ && rest.empty();
  stage_ = stage::over;
  return event::done;
}

bool client_session::keeps_alive() const noexcept {
  return stage_ == stage::over && sound_ && !says_close_ && (http11_ || says_keep_alive_);
}

client_session::event client_session::receive(std::string_view& bytes) {
  piece_ = {};
  if (!bytes.empty()) started_ = true;
  for (;;) {
    // `body` stands for: go on.
    event e = event::body;
    std::string_view line;
    switch (stage_) {
      case stage::status_line:
        e = take_line(bytes, line);
        if (e == event::body) e = read_status_line(line);
        break;
      case stage::fields:
        e = take_line(bytes, line);
        if (e == event::body) e = line.empty() ? end_of_head() : read_field(line);
        break;
      case stage::length:
        if (left_ == 0) return finish(bytes);
        return take_piece(bytes);
      case stage::chunk_size:
        e = take_chunk_size(bytes);
        break;
      case stage::chunk_data:
        if (left_ > 0) return take_piece(bytes);
        stage_ = stage::chunk_end;
        break;
      case stage::chunk_end:
        e = take_blank_line(bytes);
        if (e == event::failed) return fail(errc::bad_response, "a chunk that is longer than its size");
        if (e == event::body) stage_ = stage::chunk_size;
        break;
      case stage::trailers:
        // The line that ends the trailers of a chunked body, without which there is none, is not counted.
        e = take_blank_line(bytes);
        if (e == event::body) return finish(bytes);
        if (e == event::need_more) return e;
        e = take_line(bytes, line);
        if (e == event::body) e = read_field(line);
        break;
      case stage::until_close:
        left_ = max_size;
        return take_piece(bytes);
      case stage::over:
        return event::done;
      case stage::failed:
        return event::failed;
    }
    if (e != event::body) return e;
  }
}

client_session::event client_session::receive_end() noexcept {
  piece_ = {};
  switch (stage_) {
    case stage::over:
      return event::done;
    case stage::failed:
      return event::failed;
    case stage::until_close:
      return finish({});
    case stage::status_line:
    case stage::fields:
      return fail(errc::connection_lost, {});
    case stage::length:
      if (left_ == 0) return finish({});
      [[fallthrough]];
    default:
      return fail(errc::truncated_body, {});
  }
}

client_session::event client_session::take_line(std::string_view& bytes, std::string_view& line) {
  const std::size_t room = max_header_ - header_bytes_;
  const std::string_view within = bytes.substr(0, room);
  // What is no HTTP at all need not come to the end of a line.
  if (stage_ == stage::status_line) {
    const std::size_t size = std::min(within.size(), version.size());
    if (within.substr(0, size) != version.substr(0, size)) return fail(errc::bad_response, "the status line");
  }
  const std::size_t end = within.find('\n', scanned_);
  if (end == std::string_view::npos) {
    if (bytes.size() > room)
      return fail(errc::too_large, stage_ == stage::trailers ? "the trailer" : "the header");
    scanned_ = bytes.size();
    return event::need_more;
  }
  scanned_ = 0;
  header_bytes_ += end + 1;
  line = bytes.substr(0, end);
  bytes.remove_prefix(end + 1);
  if (!line.ends_with('\r')) return fail(errc::bad_response, "a line that does not end with CR LF");
  line.remove_suffix(1);
  return event::body;
}

client_session::event client_session::take_blank_line(std::string_view& bytes) noexcept {
  constexpr std::string_view blank = "\r\n";
  if (bytes.starts_with(blank)) {
    bytes.remove_prefix(blank.size());
    return event::body;
  }
  return blank.starts_with(bytes) ? event::need_more : event::failed;
}

client_session::event client_session::take_piece(std::string_view& bytes) noexcept {
  if (bytes.empty()) return event::need_more;
  piece_ = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
  bytes.remove_prefix(piece_.size());
  left_ -= piece_.size();
  return event::body;
}

/// "1f40;name=value"
client_session::event client_session::take_chunk_size(std::string_view& bytes) {
  constexpr const char* problem = "the size of a chunk";
  const std::size_t end = bytes.find('\n', scanned_);
  const bool whole = end != std::string_view::npos;
  std::string_view line = bytes.substr(0, end);
  std::size_t digits = 0;
  std::uint64_t size = 0;
  for (; digits < line.size() && hex_value(line[digits]) < 16; ++digits) {
    if (digits == max_size_digits) return fail(errc::bad_response, problem);
    size = size << 4 | hex_value(line[digits]);
  }
  if (digits == 0 && !line.empty()) return fail(errc::bad_response, problem);
  const bool has_cr = line.ends_with('\r');
  if (has_cr) line.remove_suffix(1);
  const std::string_view extension = line.substr(std::min(digits, line.size()));
  if (extension_bytes_ + extension.size() > max_header_) return fail(errc::too_large, "chunk extensions");
  if (!whole) {
    scanned_ = bytes.size();
    return event::need_more;
  }
  scanned_ = 0;
  bytes.remove_prefix(end + 1);
  // Some servers pad the size with blanks.
  const std::string_view text = trimmed(extension);
  if (!has_cr || digits == 0 || size > max_size || !is_field_value(extension) ||
      !(text.empty() || text.starts_with(';'))) {
    return fail(errc::bad_response, problem);
  }
  left_ = size;
  // An extension costs nothing as long as the data are more.
  extension_bytes_ += extension.size();
  extension_bytes_ -= static_cast<std::size_t>(std::min<std::uint64_t>(extension_bytes_, left_));
  stage_ = left_ == 0 ? stage::trailers : stage::chunk_data;
  return event::body;
}

client_session::event client_session::read_status_line(std::string_view line) {
  if (!is_status_line(line)) return fail(errc::bad_response, "the status line");
  status_ = 0;
  for (const char digit : line.substr(9, 3)) status_ = 10 * status_ + static_cast<unsigned>(digit - '0');
  if (status_ < 100) return fail(errc::bad_response, "a status below 100");
  if (status_ == 101) return fail(errc::bad_response, "status 101, which nothing asked for");
  http11_ = line[7] == '1';
  if (status_ >= 200) *into_ = response(static_cast<http::status>(status_));
  stage_ = stage::fields;
  return event::body;
}

client_session::event client_session::read_field(std::string_view line) {
  if (++fields_ > max_fields) {
    return fail(errc::too_large,
                head_done_ ? "the number of fields in the trailer" : "the number of fields in the header");
  }
  if (line.starts_with(' ') || line.starts_with('\t')) return fail(errc::bad_response, "a folded line");
  const std::size_t colon = token_size(line);
  if (colon == 0 || colon == line.size() || line[colon] != ':') {
    return fail(errc::bad_response, "the name of a field");
  }
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = line.substr(colon + 1);
  if (!is_field_value(value)) return fail(errc::bad_response, "the value of a field");
  if (stage_ == stage::trailers) return event::body;  // must not pass for a field of the header
  const std::string_view text = trimmed(value);
  if (const event e = read_framing(name, text); e != event::body) return e;
  if (status_ >= 200) {
    if (into_->fields().empty()) into_->fields().reserve(usual_head);
    into_->fields().add(name, text);
  }
  return event::body;
}

client_session::event client_session::read_framing(std::string_view name, std::string_view value) {
  constexpr std::string_view connection = "Connection";
  constexpr std::string_view length = "Content-Length";
  constexpr std::string_view coding = "Transfer-Encoding";
  switch (name.size()) {  // most fields are none of these
    case connection.size():
      if (same_name(name, connection)) {
        const auto says = [&](std::string_view what) {
          return any_item(value, [&](std::string_view item) { return same_name(item, what); });
        };
        says_close_ = says_close_ || says("close");
        says_keep_alive_ = says_keep_alive_ || says("keep-alive");
      }
      break;
    case length.size():
      if (!same_name(name, length)) break;
      if (has_length_) return fail(errc::bad_response, "two Content-Length fields");
      has_length_ = true;
      if (const auto size = parse_length(value)) {
        left_ = *size;
      } else {
        return fail(errc::bad_response, "Content-Length");
      }
      break;
    case coding.size():
      if (!same_name(name, coding)) break;
      if (chunked_) return fail(errc::bad_response, "two Transfer-Encoding fields");
      chunked_ = true;
      if (!same_name(value, "chunked"))
        return fail(errc::bad_response, "a transfer coding other than chunked");
      if (!http11_) return fail(errc::bad_response, "a transfer coding in HTTP/1.0");
      break;
    default:
      break;
  }
  return event::body;
}

client_session::event client_session::end_of_head() {
  if (has_length_ && chunked_) return fail(errc::bad_response, "Content-Length with Transfer-Encoding");
  const bool claims_body = chunked_ || (has_length_ && left_ > 0);
  const bool interim = status_ < 200;
  // A body has no place here: what follows may be one for another reader.
  if ((interim || status_ == 204) && claims_body) sound_ = false;
  if (interim) {
    has_length_ = chunked_ = false;
    stage_ = stage::status_line;
    return event::interim;
  }
  head_done_ = true;
  if (is_head_ || status_ == 204 || status_ == 304) {
    left_ = 0;
    stage_ = stage::length;
  } else if (chunked_) {
    stage_ = stage::chunk_size;
  } else if (has_length_) {
    stage_ = stage::length;
  } else {
    sound_ = false;
    stage_ = stage::until_close;
  }
  return event::head;
}

}  // namespace curfew::http
