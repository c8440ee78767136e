// A client's session given any bytes: however they are cut it says the same, keeps within its limits, and agrees with
// Beast about every answer that both accept. What Beast alone accepts is refused for a reason that is listed here.
#include "http/wire/client_session.hpp"

#include <algorithm>
#include <array>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "fuzz/fuzz.hpp"
#include "http/message/syntax.hpp"

namespace {

using curfew::fuzz::expect;
using curfew::http::client_session;
using curfew::http::response;
using event = client_session::event;
namespace beast = boost::beast::http;

constexpr std::size_t header_limit = 512;
// The longest that may stay unread: a line of the header, or a chunk's size and extension.
constexpr std::size_t most_left = header_limit + 20;

/// Names in lower case; equal ones stay in their order.
using field_list = std::multimap<std::string, std::string>;

struct outcome {
  std::string told;
  unsigned status = 0;
  field_list fields;
  std::string body;
  std::size_t taken = 0;
  bool complete = false;
  bool keeps_alive = false;
  std::error_code failure;
  std::string detail;

  bool operator==(const outcome&) const = default;
};

outcome read(std::string_view bytes, bool is_head, unsigned seed) {
  response r;
  client_session session(header_limit);
  session.expect(is_head, r);
  curfew::fuzz::cutter cuts(bytes, seed);
  outcome o;
  std::string buffer;
  event e = event::need_more;
  for (;;) {
    if (e == event::need_more) {
      if (cuts.over()) break;
      buffer += cuts.next();
    }
    std::string_view rest = buffer;
    e = session.receive(rest);
    const std::size_t taken = buffer.size() - rest.size();
    if (e == event::body) {
      expect(!session.piece().empty(), "a piece has bytes");
      expect(session.piece().data() >= buffer.data() &&
                 session.piece().data() + session.piece().size() <= rest.data(),
             "a piece is in the bytes that were taken");
      o.body += session.piece();
    } else {
      expect(session.piece().empty(), "only `body` has a piece");
    }
    buffer.erase(0, taken);
    o.taken += taken;
    if (e == event::interim) {
      expect(session.status_of_interim() >= 100 && session.status_of_interim() < 200, "1xx");
      o.told += std::to_string(session.status_of_interim()) + ' ';
    }
    if (e == event::head) o.told += "head ";
    if (e == event::done || e == event::failed) break;
    if (e == event::need_more) expect(buffer.size() <= most_left, "what stays is bounded");
  }
  expect(session.started() || bytes.empty(), "a byte has come");
  if (e == event::need_more) {
    e = session.receive_end();
    o.told += "end ";
  }
  if (e == event::failed) {
    expect(static_cast<bool>(session.failure()), "a failure has a code");
    expect(!session.keeps_alive(), "no connection is kept after a failure");
    o.failure = session.failure();
    o.detail = session.detail();
    // What was taken until a failure is noticed depends on the pieces.
    o.taken = 0;
  } else {
    expect(e == event::done, "done or failed");
    o.complete = true;
    o.keeps_alive = session.keeps_alive();
  }
  if (session.head_done()) o.status = to_number(r.status());
  std::size_t size = 0;
  for (const auto& [name, value] : r.fields()) {
    expect(curfew::http::is_token(name), "a name is a token");
    expect(curfew::http::is_field_value(value), "a value has no control characters");
    size += name.size() + value.size();
    o.fields.emplace(curfew::fuzz::lower(name), value);
  }
  expect(size <= header_limit && o.fields.size() <= client_session::max_fields, "fields are bounded");
  return o;
}

bool is_stricter_than_beast(const outcome& o) {
  if (o.failure == curfew::http::errc::too_large) return true;
  if (o.failure != curfew::http::errc::bad_response) return false;
  static constexpr std::array reasons = {
      "a folded line",
      "Content-Length",             // several in one, or no file is that long
      "two Content-Length fields",  // of the same length
      "two Transfer-Encoding fields",
      "a transfer coding other than chunked",
      "a transfer coding in HTTP/1.0",
      "Content-Length with Transfer-Encoding",  // one that Beast does not know
      "a status below 100",
      "status 101, which nothing asked for",
      "the size of a chunk",  // of too many digits, or with an end of line in the quotes of its extension
  };
  return std::ranges::find(reasons, o.detail) != reasons.end();
}

/// What Beast makes of it. Not complete: it refuses.
outcome read_by_beast(std::string_view bytes, bool is_head) {
  outcome o;
  std::string_view rest = bytes;
  for (;;) {
    beast::response_parser<beast::string_body> p;
    p.skip(is_head);
    p.body_limit(bytes.size());  // it would reserve any length that it is told
    p.header_limit(64 * 1024);
    boost::beast::error_code ec;
    field_list header;
    bool has_header = false;
    while (!p.is_done() && !rest.empty()) {
      p.eager(has_header);  // not beyond the header at first: it puts trailers among its fields
      const std::size_t taken = p.put(boost::asio::const_buffer(rest.data(), rest.size()), ec);
      rest.remove_prefix(taken);
      if (ec == beast::error::need_more) break;
      if (ec) return o;
      if (!has_header && p.is_header_done()) {
        has_header = true;
        o.keeps_alive = p.keep_alive();  // of the header, too: it takes a Connection of the trailer for one
        for (const auto& f : p.get()) {
          header.emplace(curfew::fuzz::lower({f.name_string().data(), f.name_string().size()}),
                         std::string(f.value().data(), f.value().size()));
        }
      }
    }
    if (!p.is_done()) {
      if (!p.got_some()) return o;
      p.put_eof(ec);
      if (ec || !p.is_done()) return o;
    }
    o.status = p.get().result_int();
    if (o.status >= 100 && o.status < 200 && o.status != 101) continue;
    o.fields = std::move(header);
    o.body = p.get().body();
    o.taken = bytes.size() - rest.size();
    o.complete = true;
    return o;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const curfew::fuzz::input in(data, size);
  const bool is_head = (in.flags & 1U) != 0;
  const outcome whole = read(in.message, is_head, 0);
  for (const unsigned seed : {1U, in.seed}) {
    outcome cut = read(in.message, is_head, seed);
    cut.keeps_alive = whole.keeps_alive;  // what comes behind the answer is not always there yet
    expect(cut == whole, "in pieces it is the same");
  }
  const outcome other = read_by_beast(in.message, is_head);
  if (!other.complete) return 0;
  if (!whole.complete) {
    expect(is_stricter_than_beast(whole), "what Beast accepts is refused for a known reason");
    return 0;
  }
  expect(other.status == whole.status, "Beast reads the same status");
  expect(other.fields == whole.fields, "Beast reads the same fields");
  expect(other.body == whole.body, "Beast reads the same body");
  expect(other.taken == whole.taken, "Beast sees the same end");
  if (!whole.fields.contains("proxy-connection")) {  // which Beast takes for Connection
    expect(other.keeps_alive || !whole.keeps_alive, "Beast keeps the connection, too");
  }
  return 0;
}
