// The server's parser given any bytes: in pieces it makes the same request or none, keeps within its limits, and agrees
// with Beast about every request that both accept.
#include "http/wire/request_parser.hpp"

#include <algorithm>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <map>
#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"
#include "http/message/syntax.hpp"

namespace {

using curfew::fuzz::expect;
using curfew::http::request;
using curfew::http::request_parser;
namespace beast = boost::beast::http;

constexpr std::size_t header_limit = 512;
constexpr std::size_t body_limit = 4096;

/// Names in lower case; equal ones stay in their order.
using field_list = std::multimap<std::string, std::string>;

struct outcome {
  std::string what;  // "failed 400", "unfinished", or all that the request says
  request r{{}, {}};
  std::size_t taken = 0;
};

outcome read(std::string_view bytes, unsigned seed) {
  outcome o;
  request_parser parser(o.r, header_limit, body_limit);
  curfew::fuzz::cutter cuts(bytes, seed);
  std::string buffer;
  while (!cuts.over()) {
    buffer += cuts.next();
    std::string_view rest = buffer;
    const auto progress = parser.feed(rest);
    o.taken += buffer.size() - rest.size();
    buffer.erase(0, buffer.size() - rest.size());
    expect(o.r.body().size() <= body_limit, "the body is bounded");
    if (progress == request_parser::progress::failed) {
      o.what = "failed " + std::to_string(to_number(parser.failure()));
      return o;
    }
    if (progress == request_parser::progress::done) {
      o.what = o.r.method() + ' ' + o.r.target() + (parser.http11() ? " 1.1" : " 1.0") +
               (parser.keep_alive() ? " keep" : " close") + (parser.expects_continue() ? " expects" : "") +
               '\n';
      if (const auto t = parser.timeout()) o.what += "timeout " + std::to_string(t->count()) + '\n';
      for (const auto& [name, value] : o.r.fields())
        o.what += std::string(name) + '=' + std::string(value) + '\n';
      o.what += '\n' + o.r.body();
      return o;
    }
    expect(buffer.size() <= header_limit, "what stays is bounded");
  }
  o.what = "unfinished";
  return o;
}

bool is_done(const outcome& o) { return !o.what.starts_with("failed ") && o.what != "unfinished"; }

/// May the server act on it? Told by the request alone.
void expect_sound(const request& r) {
  expect(curfew::http::is_token(r.method()), "the method is a token");
  expect(!r.target().empty() && r.target().find_first_of("# \r\n") == std::string::npos, "the target is one");
  for (const auto& [name, value] : r.fields()) {
    expect(curfew::http::is_token(name), "a name is a token");
    expect(curfew::http::is_field_value(value), "a value has no control characters");
  }
  expect(r.fields().count("Host") <= 1, "one Host at most");
  expect(r.fields().count("Content-Length") + r.fields().count("Transfer-Encoding") <= 1,
         "one framing at most");
  if (const auto length = r.fields().find("Content-Length")) {
    expect(std::to_string(r.body().size()) ==
               length->substr(std::min(length->find_first_not_of('0'), length->size() - 1)),
           "the body is as long as its length");
  } else if (r.fields().count("Transfer-Encoding") == 0) {
    expect(r.body().empty(), "no body without a length");
  }
}

void compare_with_beast(std::string_view bytes, const outcome& ours) {
  while (bytes.starts_with("\r\n")) bytes.remove_prefix(2);
  beast::request_parser<beast::string_body> p;
  p.header_limit(64 * 1024);
  boost::beast::error_code ec;
  std::size_t taken = 0;
  bool has_header = false;
  field_list header;
  while (!p.is_done() && taken < bytes.size()) {
    p.eager(has_header);  // not beyond the header at first: it puts trailers among its fields
    taken += p.put(boost::asio::const_buffer(bytes.data() + taken, bytes.size() - taken), ec);
    if (ec) break;
    if (!has_header && p.is_header_done()) {
      has_header = true;
      for (const auto& f : p.get()) {
        header.emplace(curfew::fuzz::lower({f.name_string().data(), f.name_string().size()}),
                       std::string(f.value().data(), f.value().size()));
      }
    }
  }
  // The server's parser is stricter, so that Beast accepts all that it accepts.
  expect(!ec && p.is_done(), "Beast accepts what the server accepts");
  field_list own;
  for (const auto& [name, value] : ours.r.fields()) own.emplace(curfew::fuzz::lower(name), value);
  expect(ours.r.method() == std::string_view(p.get().method_string().data(), p.get().method_string().size()),
         "Beast reads the same method");
  expect(ours.r.target() == std::string_view(p.get().target().data(), p.get().target().size()),
         "Beast reads the same target");
  // The authority of a target in absolute form takes the place of what the field says (RFC 9112, 3.2.2).
  const std::string target(ours.r.target());
  if (const auto host = own.find("host"); host != own.end() && !target.starts_with('/')) {
    if (target.find("://" + host->second) != std::string::npos) {
      own.erase("host");
      header.erase("host");
    }
  }
  expect(header == own, "Beast reads the same fields");
  expect(ours.r.body() == p.get().body(), "Beast reads the same body");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const curfew::fuzz::input in(data, size);
  const outcome whole = read(in.message, 0);
  for (const unsigned seed : {1U, in.seed}) {
    const outcome cut = read(in.message, seed);
    if (is_done(whole)) {
      expect(cut.what == whole.what, "in pieces it is the same request");
      expect(cut.taken == whole.taken, "in pieces it ends at the same place");
    } else {
      // In pieces a failure may be noticed later; but it never passes for a request.
      expect(!is_done(cut), "in pieces it is no request either");
    }
  }
  if (!is_done(whole)) return 0;
  expect_sound(whole.r);
  compare_with_beast(in.message, whole);
  return 0;
}
