#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>

namespace curfew::http {

/// The address of a Unix socket, as the kernel takes it.
struct unix_address {
  sockaddr_un name{};
  socklen_t size = 0;

  /// \param path  "/run/app.sock"; "@app" is an abstract name, of which the '@' stands for the null in front.
  /// \return none if it is empty or too long, or has a null.
  static std::optional<unix_address> of(std::string_view path) noexcept {
    const bool abstract = path.starts_with('@');
    if (path.size() <= (abstract ? 1U : 0U) || path.size() > longest(path) || path.contains('\0'))
      return std::nullopt;
    unix_address made;
    made.name.sun_family = AF_UNIX;
    std::ranges::copy(path, std::begin(made.name.sun_path));
    made.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    if (abstract) {
      made.name.sun_path[0] = '\0';
    } else {
      ++made.size;  // its null
    }
    return made;
  }

  /// How many bytes it may have: a path's null needs room, an abstract name has none.
  [[nodiscard]] static std::size_t longest(std::string_view path) noexcept {
    return sizeof(sockaddr_un::sun_path) - (path.starts_with('@') ? 0U : 1U);
  }

  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&name); }
};

}  // namespace curfew::http
