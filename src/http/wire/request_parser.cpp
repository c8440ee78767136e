#include "http/wire/request_parser.hpp"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <curfew/http/deadline.hpp>

#include "http/message/message_access.hpp"

namespace curfew::http {

namespace {

constexpr std::size_t most_reserved = 2048;  // for the fields, of which many bytes may be no part

namespace beast = boost::beast::http;
using boost::beast::string_view;
using beast_error = boost::beast::error_code;

std::string_view view(string_view text) noexcept { return {text.data(), text.size()}; }

bool all_digits(std::string_view text) noexcept {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// The characters of a host, as RFC 3986 has them, with its port.
bool is_host(std::string_view text) noexcept {
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!plain && std::string_view("!$%&'()*+,-.:;=[]_~").find(c) == std::string_view::npos) return false;
  }
  return true;
}

/// The forms of a target that RFC 9112 has, for everything but CONNECT.
bool is_target(std::string_view method, std::string_view target) noexcept {
  if (target.find('#') != std::string_view::npos) return false;
  if (target.starts_with('/')) return true;
  if (target == "*") return method == "OPTIONS";
  const auto scheme = target.find("://");
  return scheme != std::string_view::npos &&
         (same_name(target.substr(0, scheme), "http") || same_name(target.substr(0, scheme), "https"));
}

/// Of a target in absolute-form: what stands between the slashes and the path.
std::optional<std::string_view> authority_of(std::string_view target) noexcept {
  if (target.starts_with('/')) return std::nullopt;
  const auto scheme = target.find("://");
  if (scheme == std::string_view::npos) return std::nullopt;
  const auto authority = target.substr(scheme + 3);
  return authority.substr(0, authority.find_first_of("/?"));
}

/// Is a line of a header's bytes folded? Beast takes the fold for a blank, silently. It leaves the end of a line where
/// it is until it has seen what follows.
bool has_fold(std::string_view bytes) noexcept {
  for (auto at = bytes.find('\n'); at != std::string_view::npos && at + 1 < bytes.size();
       at = bytes.find('\n', at + 1)) {
    const char next = bytes[at + 1];
    if (next == ' ' || next == '\t') return true;
    if (next == '\r' || next == '\n') return false;  // the end of the header
  }
  return false;
}

/// Does a request line that Beast does not take end with a version of HTTP which is only not ours?
bool has_other_version(std::string_view bytes) noexcept {
  const auto line = bytes.substr(0, bytes.find("\r\n"));
  const auto blank = line.rfind(' ');
  if (blank == std::string_view::npos) return false;
  const auto version = line.substr(blank + 1);
  return version.size() == 8 && version.starts_with("HTTP/") && all_digits(version.substr(5, 1)) &&
         version[6] == '.' && all_digits(version.substr(7)) && version != "HTTP/1.0" && version != "HTTP/1.1";
}

/// Beast's parser: it splits the bytes; what they mean for this server is decided here. Beast accepts some
/// that an intermediary may read differently: such requests are refused.
class parser final : public beast::basic_parser<true> {
 public:
  parser(request& into, std::size_t most_extensions, std::uint64_t most_body) noexcept
      : into_(&into),
        body_(&request_access::body(into)),
        most_body_(most_body),
        most_extensions_(most_extensions) {}

  /// \return false if it is known that the body is larger.
  bool limit_body(std::uint64_t most) noexcept {
    most_body_ = most;
    const auto declared = content_length();
    return !declared || *declared <= most;
  }
  bool limit_body() noexcept { return limit_body(most_body_); }
  void body_into(std::string* to) noexcept { body_ = to; }
  [[nodiscard]] std::uint64_t body_taken() const noexcept { return body_taken_; }

  [[nodiscard]] bool line_done() const noexcept { return line_done_; }
  [[nodiscard]] bool fields_done() const noexcept { return fields_done_; }
  [[nodiscard]] bool http11() const noexcept { return http11_; }
  [[nodiscard]] bool expects_continue() const noexcept { return http11_ && expects_continue_; }
  [[nodiscard]] std::optional<clock::duration> timeout() const noexcept { return timeout_; }
  /// Does the connection stay? What a trailer says of it means nothing.
  [[nodiscard]] bool stays() const noexcept { return stays_; }
  /// What this class found wrong; none if it was Beast.
  [[nodiscard]] std::optional<status> verdict() const noexcept { return verdict_; }

 private:
  void refuse(status with, beast_error& ec) noexcept {
    verdict_ = with;
    ec = beast::error::bad_field;
  }

  void on_request_impl(beast::verb /*known*/, string_view method, string_view target, int version,
                       beast_error& ec) override {
    request_access::method(*into_).assign(method.data(), method.size());
    request_access::target(*into_).assign(target.data(), target.size());
    http11_ = version == 11;
    line_done_ = true;
    if (view(method) == "CONNECT") return refuse(status::not_implemented, ec);
    if (!is_target(view(method), view(target))) refuse(status::bad_request, ec);
  }

  void on_response_impl(int /*status*/, string_view /*reason*/, int /*version*/,
                        beast_error& /*ec*/) override {}

  void on_field_impl(beast::field known, string_view name, string_view value, beast_error& ec) override {
    if (++fields_ > request_parser::max_fields) return refuse(status::request_header_fields_too_large, ec);
    if (fields_done_) return;  // of a trailer: unread, and it must not pass for a header field
    switch (known) {
      case beast::field::host:
        if (++hosts_ > 1 || !is_host(view(value))) return refuse(status::bad_request, ec);
        break;
      case beast::field::content_length:
        if (++lengths_ > 1 || !all_digits(view(value))) return refuse(status::bad_request, ec);
        break;
      case beast::field::transfer_encoding:
        // In HTTP/1.0 there is none; a proxy on the way may have read the message otherwise.
        if (++encodings_ > 1 || !http11_) return refuse(status::bad_request, ec);
        if (!same_name(view(value), "chunked")) {
          const auto last = view(value).substr(view(value).find_last_of(", \t") + 1);
          return refuse(same_name(last, "chunked") ? status::not_implemented : status::bad_request, ec);
        }
        break;
      case beast::field::expect:
        if (value.empty()) break;
        if (!same_name(view(value), "100-continue")) return refuse(status::expectation_failed, ec);
        expects_continue_ = true;
        break;
      case beast::field::unknown:
        if (same_name(view(name), timeout_field)) {
          if (timeout_) return refuse(status::bad_request, ec);
          timeout_ = parse_timeout(view(value));
          if (!timeout_) return refuse(status::bad_request, ec);
        }
        break;
      default:
        break;
    }
    into_->fields().add(view(name), view(value));
  }

  void on_header_impl(beast_error& ec) override {
    fields_done_ = true;
    stays_ = keep_alive();
    if ((http11_ && hosts_ == 0) || (lengths_ > 0 && encodings_ > 0)) return refuse(status::bad_request, ec);
    if (const auto authority = authority_of(into_->target())) {
      if (authority->empty() || !is_host(*authority)) return refuse(status::bad_request, ec);
      into_->fields().set("Host", *authority);  // RFC 9112, 3.2.2: what the field says is ignored
    }
  }

  void on_body_init_impl(const boost::optional<std::uint64_t>& /*length*/, beast_error& /*ec*/) override {}

  std::size_t on_body_impl(string_view body, beast_error& ec) override {
    if (body.size() > most_body_ - body_taken_) {
      refuse(status::content_too_large, ec);
      return 0;
    }
    body_taken_ += body.size();
    if (body_ != nullptr) body_->append(body.data(), body.size());
    return body.size();
  }

  void on_chunk_header_impl(std::uint64_t size, string_view extensions, beast_error& ec) override {
    if (size > most_body_ - body_taken_) return refuse(status::content_too_large, ec);
    if (extensions.size() > most_extensions_) return refuse(status::bad_request, ec);
    most_extensions_ -= extensions.size();
  }

  std::size_t on_chunk_body_impl(std::uint64_t /*remain*/, string_view body, beast_error& ec) override {
    return on_body_impl(body, ec);
  }

  void on_finish_impl(beast_error& /*ec*/) override {}

  request* into_;
  std::string* body_;
  std::uint64_t most_body_;
  std::uint64_t body_taken_ = 0;
  std::optional<status> verdict_;
  std::optional<clock::duration> timeout_;
  std::size_t most_extensions_;  // of chunks, in bytes, all together
  unsigned fields_ = 0;
  unsigned hosts_ = 0;
  unsigned lengths_ = 0;
  unsigned encodings_ = 0;
  bool line_done_ = false;
  bool fields_done_ = false;
  bool http11_ = false;
  bool expects_continue_ = false;
  bool stays_ = false;
};

}  // namespace

struct request_parser::impl {
  impl(request& r, std::size_t header, std::size_t body) : into(&r), max_header(header), max_body(body) {}

  request* into;
  const std::size_t max_header;
  const std::size_t max_body;
  std::optional<parser> current;
  // Bytes of the header that the parser has consumed: Beast limits the line and the fields, each for itself.
  std::size_t header_taken = 0;
  status failure = status::bad_request;

  progress fail(status with) noexcept {
    failure = with;
    return progress::failed;
  }
  progress fail_by(beast::error why, std::string_view bytes) noexcept {
    if (current->verdict()) return fail(*current->verdict());
    switch (why) {
      case beast::error::header_limit:
        return fail(current->line_done() ? status::request_header_fields_too_large : status::uri_too_long);
      case beast::error::bad_version:
        return fail(has_other_version(bytes) ? status::http_version_not_supported : status::bad_request);
      default:
        return fail(status::bad_request);
    }
  }
};

request_parser::request_parser(request& into, std::size_t max_header, std::size_t max_body)
    : impl_(std::make_unique<impl>(into, max_header, max_body)) {
  reset(into);
}

request_parser::~request_parser() = default;

void request_parser::reset(request& into) {
  impl_->into = &into;
  request_access::clear(into);
  impl_->header_taken = 0;
  auto& p = impl_->current.emplace(into, impl_->max_header, impl_->max_body);
  p.header_limit(static_cast<std::uint32_t>(std::min<std::size_t>(impl_->max_header, UINT32_MAX)));
  p.body_limit(boost::none);  // its limits are looked at here
}

request_parser::progress request_parser::feed_header(std::string_view& bytes) {
  parser& p = *impl_->current;
  if (p.fields_done()) return progress::done;
  if (!p.got_some()) {
    while (bytes.starts_with("\r\n")) bytes.remove_prefix(2);  // RFC 9112, 2.2: after a body, by old clients
    if (bytes.empty() || bytes == "\r") return progress::need_more;
  }
  if (has_fold(bytes)) return impl_->fail(status::bad_request);
  beast_error ec;
  const std::string_view given = bytes;
  if (!p.got_some()) impl_->into->fields().reserve(std::min(bytes.size(), most_reserved));
  const std::size_t taken = p.put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
  bytes.remove_prefix(taken);
  if (ec && ec != beast::error::need_more) {
    return impl_->fail_by(static_cast<beast::error>(ec.value()), given);
  }
  impl_->header_taken += taken;
  if (impl_->header_taken + (p.fields_done() ? 0 : bytes.size()) > impl_->max_header) {
    return impl_->fail_by(beast::error::header_limit, given);
  }
  if (!p.fields_done()) return progress::need_more;
  p.eager(true);
  return progress::done;
}

request_parser::progress request_parser::feed(std::string_view& bytes) {
  parser& p = *impl_->current;
  if (!p.fields_done()) {
    const auto header = feed_header(bytes);
    if (header != progress::done) return header;
    if (!p.limit_body()) return impl_->fail(status::content_too_large);
  }
  if (p.is_done()) return progress::done;
  // A chunked body ends with "0\r\n\r\n"; Beast asserts that it gets all of that in one piece.
  constexpr std::size_t last_chunk = 5;
  // Beast wants a chunk's header in one piece, and the last one with all trailers, too: so it never sees more than such a
  // piece may have, however much has come.
  const std::size_t most = p.chunked() ? std::max(impl_->max_header, last_chunk) : std::string_view::npos;
  for (;;) {
    if (bytes.size() < (p.chunked() ? last_chunk : 1)) return progress::need_more;
    const std::string_view seen = bytes.substr(0, most);
    const bool is_all = seen.size() == bytes.size();
    beast_error ec;
    const std::size_t taken = p.put(boost::asio::const_buffer(seen.data(), seen.size()), ec);
    bytes.remove_prefix(taken);
    if (ec && ec != beast::error::need_more)
      return impl_->fail_by(static_cast<beast::error>(ec.value()), bytes);
    if (p.is_done()) return progress::done;
    if (is_all) return progress::need_more;
    if (taken == 0) return impl_->fail(status::bad_request);
  }
}

bool request_parser::limit_body(std::uint64_t most) noexcept {
  const bool fits = impl_->current->limit_body(most);
  if (!fits) impl_->fail(status::content_too_large);
  return fits;
}

void request_parser::body_into(std::string* to) noexcept { impl_->current->body_into(to); }
bool request_parser::is_done() const noexcept { return impl_->current->is_done(); }
std::uint64_t request_parser::body_taken() const noexcept { return impl_->current->body_taken(); }

std::optional<std::uint64_t> request_parser::body_left() const noexcept {
  const parser& p = *impl_->current;
  if (p.is_done()) return 0;
  if (p.chunked()) return std::nullopt;
  return p.content_length().value_or(0) - p.body_taken();
}

bool request_parser::started() const noexcept { return impl_->current->got_some(); }
bool request_parser::header_done() const noexcept { return impl_->current->fields_done(); }
status request_parser::failure() const noexcept { return impl_->failure; }
bool request_parser::http11() const noexcept { return impl_->current->http11(); }
bool request_parser::keep_alive() const noexcept { return impl_->current->stays(); }
bool request_parser::expects_continue() const noexcept { return impl_->current->expects_continue(); }
std::optional<clock::duration> request_parser::timeout() const noexcept { return impl_->current->timeout(); }

}  // namespace curfew::http
