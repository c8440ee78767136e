// The least that answers: one thread, one epoll set, a constant answer to whatever ends with an empty line.
// No parser, no timeouts, no contexts: what the system calls alone cost.
//
//   peer_epoll_hello [address]      default: 127.0.0.1:8080
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

int main(int argc, char** argv) {
  const std::string address = argc > 1 ? argv[1] : "127.0.0.1:8080";
  const auto colon = address.rfind(':');
  const int door = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const int yes = 1;
  ::setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  ::setsockopt(door, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(static_cast<std::uint16_t>(std::atoi(address.c_str() + colon + 1)));
  ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &where.sin_addr);
  if (::bind(door, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0 ||
      ::listen(door, SOMAXCONN) != 0) {
    std::perror(address.c_str());
    return 1;
  }
  socklen_t size = sizeof where;
  ::getsockname(door, reinterpret_cast<sockaddr*>(&where), &size);
  std::printf("http://127.0.0.1:%d\n", ntohs(where.sin_port));
  std::fflush(stdout);

  constexpr std::string_view answer =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\n"
      "Content-Length: 14\r\n\r\nHello, World!\n";
  const int set = ::epoll_create1(0);
  epoll_event e{};
  e.events = EPOLLIN;
  e.data.fd = door;
  ::epoll_ctl(set, EPOLL_CTL_ADD, door, &e);
  std::array<epoll_event, 256> events;
  std::array<char, 16384> buffer;
  for (;;) {
    const int count = ::epoll_wait(set, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == door) {
        e.data.fd = ::accept4(door, nullptr, nullptr, SOCK_NONBLOCK);
        if (e.data.fd >= 0) ::epoll_ctl(set, EPOLL_CTL_ADD, e.data.fd, &e);
        continue;
      }
      const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (got <= 0 || (std::string_view(buffer.data(), static_cast<std::size_t>(got)).ends_with("\r\n\r\n") &&
                       ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0)) {
        ::close(fd);
      }
    }
  }
}
