#include <curfew/http/errc.hpp>
#include <curfew/http/url.hpp>
#include <utility>

#include "http/client/client_url.hpp"
#include "http/message/target.hpp"

namespace curfew::http {

namespace {

/// What is unreserved as it stands, all else encoded.
void append_encoded(std::string& to, std::string_view text) {
  for (const char c : text) {
    if (is_unreserved(c)) {
      to += c;
    } else {
      append_escaped(to, c);
    }
  }
}

}  // namespace

url::url(std::string_view base) {
  base = base.substr(0, base.find('#'));
  const auto mark = base.find('?');
  path_ = base.substr(0, mark);
  if (mark != std::string_view::npos) query_ = base.substr(mark + 1);
  std::string why;
  if (!client_url::parse(base, why)) refuse(std::move(why));
}

url& url::segment(std::string_view text) {
  if (text.empty()) {
    refuse("a segment of the path is empty");
  } else if (text == "." || text == "..") {
    refuse("the segment " + std::string(text) + (text == "." ? " would be dropped" : " would lead up"));
  } else {
    if (!path_.ends_with('/')) path_ += '/';
    append_encoded(path_, text);
  }
  return *this;
}

url& url::query(std::string_view name, std::string_view value) {
  if (!query_.empty() && !query_.ends_with('&')) query_ += '&';
  append_encoded(query_, name);
  query_ += '=';
  append_encoded(query_, value);
  return *this;
}

void url::refuse(std::string why) {
  if (wrong_.empty()) wrong_ = std::move(why);
}

std::string url::text() const { return query_.empty() ? path_ : path_ + '?' + query_; }

result<std::string> url::str() const {
  if (!wrong_.empty()) return error(errc::bad_url, shown_url(text()) + " : " + wrong_);
  return text();
}

// No URL has a space, so the client refuses this one, and shows it.
url::operator std::string() const { return wrong_.empty() ? text() : text() + " (" + wrong_ + ')'; }

}  // namespace curfew::http
