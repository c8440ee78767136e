#include "http/client/request_head.hpp"

#include <openssl/evp.h>

#include <curfew/http/deadline.hpp>
#include <string_view>

#include "http/client/proxies.hpp"
#include "http/message/syntax.hpp"

namespace curfew::http {

namespace {

constexpr std::string_view known_codings = "gzip, deflate, br, zstd";

std::string base64(std::string_view text) {
  std::string out(4 * ((text.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

bool has_body(const request& what) {
  return !what.body().empty() || what.method() == "POST" || what.method() == "PUT" ||
         what.method() == "PATCH";
}

}  // namespace

std::string basic_credentials(std::string_view user, std::string_view password) {
  return "Basic " + base64(std::string(user).append(1, ':').append(password));
}

void append_request_head(std::string& out, const call_target& target, const request_head_options& options) {
  const request& what = target.what;
  const fields& sent = options.instead != nullptr ? *options.instead : what.fields();
  const auto leaves_out = [&](std::string_view name) {
    return options.instead == nullptr && target.leaves_out(name);
  };
  const auto sets = [&](std::string_view name) { return sent.contains(name) && !leaves_out(name); };
  out.reserve(out.size() + 256 + target.url.target.size());
  out += what.method();
  out += ' ';
  if (options.proxy != nullptr) out.append("http://").append(target.url.authority);
  out += target.url.target;
  out += " HTTP/1.1\r\n";
  if (!sets("Host")) append_field(out, "Host", target.url.authority);
  if (target.url.has_user && !target.cross_origin && !sets("Authorization"))
    append_field(out, "Authorization", basic_credentials(target.url.user, target.url.password));
  if (options.proxy != nullptr && !options.proxy->credentials.empty() && !sets("Proxy-Authorization"))
    append_field(out, "Proxy-Authorization", options.proxy->credentials);
  if (!sets("User-Agent")) out += "User-Agent: curfew\r\n";
  if (!sets("Accept")) out += "Accept: */*\r\n";
  if (!sets("Accept-Encoding"))
    append_field(out, "Accept-Encoding", options.decodes ? known_codings : "identity");
  if (options.timeout && !sets(timeout_field)) append_field(out, timeout_field, *options.timeout);
  if (options.trace && !sets(trace_field)) {
    append_field(out, trace_field, options.trace->parent);
    if (!options.trace->state.empty()) append_field(out, trace_state_field, options.trace->state);
  }
  for (const auto& [name, value] : sent) {
    if (same_name(name, "Content-Length")) continue;
    if (leaves_out(name)) continue;
    const std::string_view shown = trimmed(value);
    out += name;
    out += shown.empty() ? ":" : ": ";
    out += shown;
    out += "\r\n";
  }
  if (target.body && !target.body->length()) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (target.body) {
    append_field(out, "Content-Length", std::to_string(*target.body->length()));
  } else if (has_body(what)) {
    append_field(out, "Content-Length", std::to_string(what.body().size()));
  }
  out += "\r\n";
}

}  // namespace curfew::http
