#include "http/wire/send_parts.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace curfew::http {

ssize_t send_parts(int socket, std::span<std::string_view> parts) noexcept {
  std::array<iovec, 4> vector;
  std::size_t count = 0;
  for (const auto part : parts) {
    // sendmsg does not write to what it sends
    if (!part.empty() && count < vector.size())
      vector[count++] = {const_cast<char*>(part.data()), part.size()};
  }
  if (count == 0) return 0;
  msghdr message{};
  message.msg_iov = vector.data();
  message.msg_iovlen = count;
  ssize_t taken = 0;
  do {
    taken = count == 1 ? ::send(socket, vector[0].iov_base, vector[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                       : ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (taken < 0 && errno == EINTR);
  if (taken < 0) return taken;
  auto left = static_cast<std::size_t>(taken);
  for (auto& part : parts) {
    const auto now = std::min(left, part.size());
    part.remove_prefix(now);
    left -= now;
  }
  return taken;
}

std::string_view chunk_line::of(std::size_t size) noexcept {
  char* const end = std::to_chars(text_.data(), text_.data() + text_.size() - 2, size, 16).ptr;
  end[0] = '\r';
  end[1] = '\n';
  return {text_.data(), static_cast<std::size_t>(end + 2 - text_.data())};
}

}  // namespace curfew::http
