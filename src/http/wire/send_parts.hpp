#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace curfew::http {

/// Sends as much of at most four parts as the socket takes now, and takes it off their front.
/// \return how many bytes: 0 if there is nothing to send; -1, with errno: EAGAIN if it takes none now.
ssize_t send_parts(int socket, std::span<std::string_view> parts) noexcept;

/// The line in front of a chunk of the transfer coding: its size.
class chunk_line {
 public:
  /// \return valid until the next call.
  std::string_view of(std::size_t size) noexcept;

 private:
  std::array<char, 2 * sizeof(std::size_t) + 2> text_{};
};
constexpr std::string_view end_of_chunk = "\r\n";
constexpr std::string_view last_chunk = "0\r\n\r\n";

}  // namespace curfew::http
