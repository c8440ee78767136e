#include "http/wire/silent_peer.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>

namespace curfew::http {

void ends_silent_after(int socket, clock::duration d) noexcept {
  if (d == clock::duration::max()) return;
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  const auto set = [socket](int level, int name, long long value) {
    const int narrow = static_cast<int>(std::clamp(value, 1LL, 2'000'000'000LL));
    ::setsockopt(socket, level, name, &narrow, sizeof narrow);
  };
  constexpr int probes = 3;             // in the second half of the time
  constexpr long long longest = 32767;  // that the kernel takes, in seconds
  const long long whole = std::chrono::duration_cast<seconds>(d).count();
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, std::min(whole / 2, longest));
  set(IPPROTO_TCP, TCP_KEEPINTVL, std::min(whole / 2 / probes, longest));
  set(IPPROTO_TCP, TCP_KEEPCNT, probes);
  // Where something has been sent the kernel asks for nothing: it waits for the acknowledgement.
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, std::chrono::duration_cast<milliseconds>(d).count());
}

}  // namespace curfew::http
