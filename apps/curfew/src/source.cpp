#include "source.hpp"

#include "text.hpp"

namespace curfew_program {

namespace {

constexpr std::string_view unix_prefix = "unix:";

std::string without_userinfo(std::string_view url) {
  const auto host = url.find("://") + 3;
  const auto at = url.substr(0, url.find_first_of("/?#", host)).rfind('@');
  if (at == std::string_view::npos || at < host) return std::string(url);
  return std::string(url.substr(0, host)) + std::string(url.substr(at + 1));
}

std::string_view without_slash(std::string_view mount) {
  while (mount.ends_with('/')) mount.remove_suffix(1);
  return mount;
}

}  // namespace

std::expected<source, std::string> source::parse(std::string_view text) {
  const std::string named = printable(text);
  if (text.starts_with(unix_prefix)) {
    const auto rest = text.substr(unix_prefix.size());
    const auto colon = rest.find(':');
    const auto path = rest.substr(0, colon);
    const auto mount = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    if (path.empty() || (!mount.empty() && !mount.starts_with('/'))) {
      return std::unexpected(
          "write a Unix socket as unix:/run/x.sock or unix:/run/x.sock:/debug/curfew, not " + named);
    }
    return source{named, "http://localhost" + std::string(without_slash(mount)), std::string(path)};
  }
  std::string url(text);
  if (!text.contains("://")) {
    if (!text.contains(':')) {
      return std::unexpected("what is " + named +
                             "? A console is named as http://127.0.0.1:6060 or unix:/run/x.sock");
    }
    url.insert(0, "http://");
  }
  if (!url.starts_with("http://") && !url.starts_with("https://")) {
    return std::unexpected("a console is reached by http://, https:// or unix:, not by " + named);
  }
  if (url.find_first_of("?#") != std::string::npos) {
    return std::unexpected("the address of a console has no '?' and no '#': " +
                           printable(without_userinfo(url)));
  }
  return source{
      printable(text.contains("://") ? without_userinfo(url) : text), std::string(without_slash(url)), {}};
}

}  // namespace curfew_program
