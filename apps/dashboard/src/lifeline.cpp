#include "lifeline.hpp"

#include <fcntl.h>
#include <sys/random.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <curfew/io/with.hpp>
#include <string_view>
#include <system_error>

namespace curfew_dashboard {

namespace {

constexpr std::size_t longest_token = 128;

std::string read_line(int fd) {
  std::string line;
  char c = 0;
  while (line.size() < longest_token) {
    const ssize_t got = ::read(fd, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || c == '\n') break;
    line.push_back(c);
  }
  return line;
}

}  // namespace

lifeline::lifeline() {
  const char* number = std::getenv(lifeline_variable);  // NOLINT(concurrency-mt-unsafe): no other thread yet
  if (number == nullptr) return;
  const std::string_view text = number;
  int fd = -1;
  std::from_chars(text.data(), text.data() + text.size(), fd);
  ::unsetenv(lifeline_variable);  // NOLINT(concurrency-mt-unsafe): as above
  if (fd < 3 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return;
  pipe_ = file_descriptor(fd);
  token_ = read_line(fd);
}

boost::asio::awaitable<void> lifeline::async_watch(curfew::context ctx, curfew::canceler whom) {
  auto executor = co_await boost::asio::this_coro::executor;
  boost::asio::posix::stream_descriptor pipe(executor, pipe_.release());
  std::array<char, 16> ignored{};
  for (;;) {
    auto got = co_await pipe.async_read_some(boost::asio::buffer(ignored), curfew::with(ctx));
    if (got) continue;
    if (!ctx.err()) whom.cancel("the dashboard has gone");
    co_return;
  }
}

std::string make_token() {
  std::array<unsigned char, 32> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw std::system_error(errno, std::generic_category(), "making a token");
  }
  constexpr std::string_view digits = "0123456789abcdef";
  std::string token;
  for (const unsigned char byte : bytes) {
    token.push_back(digits[byte >> 4U]);
    token.push_back(digits[byte & 15U]);
  }
  return token;
}

}  // namespace curfew_dashboard
