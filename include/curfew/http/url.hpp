#pragma once

#include <concepts>
#include <curfew/core/error.hpp>
#include <string>
#include <string_view>
#include <type_traits>

namespace curfew::detail {

/// Numbers, but no characters and no truth values, which a caller would expect to see as text.
template <class T>
concept url_number =
    std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char> && !std::same_as<T, wchar_t> &&
    !std::same_as<T, char8_t> && !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;

}  // namespace curfew::detail

namespace curfew::http {

/// Builds a URL from parts that may hold any bytes, such as what a user has typed:
///
///     std::string name = "1/../admin";
///     auto page = http::url("https://api.example.org/v1").segment("users").segment(name).query("q", "a & b");
///     auto answer = http::client::shared().get(ctx, page);
///
/// A part stays one part: all bytes but letters, digits and "-._~" are percent-encoded, so the
/// target here is /v1/users/1%2F..%2Fadmin?q=a%20%26%20b. The client sends it as it stands, curfew's router takes the name for
/// one segment, and `request.param()` gives "1/../admin" again. Some servers and proxies decode before they split the path:
/// behind those, no encoding helps against a slash.
///
/// A segment "." or ".." is refused, since servers drop "%2E%2E" from a path as they drop "..", and so is an empty one:
/// DELETE of /users/ is not what DELETE of /users/{id} is meant to be.
///
/// The first thing that is wrong stays. A bad URL is no exception: str() says what is wrong with it, and a request for it
/// fails with errc::bad_url, whose text says the same; nothing is sent.
/// Thread safety: as a std::string.
class url {
 public:
  /// \param base  Absolute, http:// or https://, encoded already; its path and query are kept, its fragment is not.
  explicit url(std::string_view base);

  /// Appends a segment to the path, behind a '/' if there is none.
  url& segment(std::string_view text);
  /// Appends `name=value` to the query. A space is %20.
  url& query(std::string_view name, std::string_view value);

  template <detail::url_number Number>
  url& segment(Number number) {
    return segment(std::string_view(std::to_string(number)));
  }
  template <detail::url_number Number>
  url& query(std::string_view name, Number number) {
    return query(name, std::string_view(std::to_string(number)));
  }

  /// The whole of it.
  /// Errors: errc::bad_url, with what is wrong: "https://api.example.org/users : the segment .. would lead up".
  [[nodiscard]] result<std::string> str() const;
  /// The same for `request` and the client's verbs: a bad one is text that they refuse.
  operator std::string() const;  // NOLINT(google-explicit-constructor)

 private:
  void refuse(std::string why);
  [[nodiscard]] std::string text() const;

  std::string path_;   // with what stands before it
  std::string query_;  // without the '?'
  std::string wrong_;
};

}  // namespace curfew::http
