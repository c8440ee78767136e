// A connection of the server, on a socket pair: whatever a client sends, with pauses, and however it ends. Nothing
// crashes or hangs; each response is one that Beast reads, and belongs to the next request; every context has ended when
// the connection has gone.
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <curfew/io/wait.hpp>
#include <linux/sockios.h>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "http/server/connection.hpp"
#include "http/server/server_state.hpp"
#include "http/server/worker.hpp"

namespace {

using curfew::context;
using curfew::fuzz::expect;
using steady = std::chrono::steady_clock;
namespace asio = boost::asio;
namespace beast = boost::beast::http;
namespace http = curfew::http;

/// What takes longer hangs: a machine that does other things, too, takes seconds.
constexpr std::chrono::minutes hang(1);

/// The requests of one connection, as its handlers saw them.
struct seen_requests {
  std::mutex mutex;
  std::vector<context> contexts;
  std::vector<std::string> methods;
};

seen_requests seen;

/// Echoes, streams, waits for the end of its context, or throws; says which request it was.
asio::awaitable<http::response> answer(context ctx, const http::request& request) {
  std::string number;
  {
    const std::lock_guard guard(seen.mutex);
    seen.contexts.push_back(ctx);
    seen.methods.push_back(request.method());
    number = std::to_string(seen.contexts.size());
  }
  http::response made = http::text(http::status::ok, request.body());
  if (request.path() == "/s") {
    std::string body = request.body();
    auto source = [body](context own, http::body_writer out) -> asio::awaitable<void> {
      for (std::size_t at = 0; at < body.size(); at += 7) {
        if (!co_await out.async_write(own, body.substr(at, 7))) co_return;
      }
    };
    made = http::stream("text/plain", source);
  } else if (request.path() == "/w") {
    co_await curfew::async_wait(ctx.done());
  } else if (request.path() == "/p") {
    std::ignore = co_await curfew::async_sleep_for(ctx, std::chrono::microseconds(50));
  } else if (request.path() == "/e") {
    made = http::response(http::status::no_content);
  } else if (request.path() == "/t") {
    throw std::runtime_error("thrown");
  }
  made.set("X-Number", number);
  co_return made;
}

http::server_options limits() {
  return http::server_options()
      .max_header_size(512)
      .max_body_size(300)
      .on_error([](std::string_view) {})
      .on_held_thread([](std::string_view) {});
}

/// Serves the connections of all inputs.
struct serving {
  http::server_state state{
      http::router().around([](const http::handler&) -> http::handler { return answer; }), limits()};
  http::worker on{state};

  serving() { on.start(); }
  ~serving() {
    on.stop();
    on.join();
  }
};

enum class ending { half_close, close, close_unread };

/// Sends all pieces and ends. \return what came until the server closed.
std::string talk(int fd, curfew::fuzz::cutter cuts, bool pauses, ending how) {
  std::string received;
  std::string piece;
  bool sending = true;
  const auto limit = steady::now() + hang;
  for (;;) {
    expect(steady::now() < limit, "the server reads and answers");
    if (sending && piece.empty()) {
      if (pauses) {  // until the server has taken what was sent, if it takes it
        for (int unread = 1, i = 0; i < 20 && ::ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0; ++i)
          std::this_thread::yield();
      }
      if (cuts.over()) {
        sending = false;
        if (how == ending::close_unread) return {};
        if (how == ending::close) {  // of what has come, nothing is left: no reset
          std::array<char, 4096> bytes{};
          while (::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
          }
          return {};
        }
        ::shutdown(fd, SHUT_WR);
      } else {
        piece = cuts.next();
      }
    }
    pollfd p{fd, static_cast<short>(sending ? POLLIN | POLLOUT : POLLIN), 0};
    ::poll(&p, 1, 1000);
    if ((p.revents & POLLOUT) != 0 && sending) {
      const ssize_t n = ::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) piece.erase(0, static_cast<std::size_t>(n));
      if (n < 0 && errno != EAGAIN) sending = false;  // it has closed
    }
    if ((p.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      std::array<char, 4096> bytes{};
      const ssize_t n = ::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN)) return received;
      if (n > 0) received.append(bytes.data(), static_cast<std::size_t>(n));
    }
  }
}

void check_responses(std::string_view bytes, const std::vector<std::string>& methods) {
  std::size_t answered = 0;
  bool last = false;
  while (!bytes.empty()) {
    expect(!last, "nothing comes behind a response that closes");
    beast::response_parser<beast::string_body> p;
    boost::beast::error_code ec;
    const std::size_t head_end = bytes.find("\r\n\r\n");
    expect(head_end != std::string_view::npos, "a response has a whole head");
    // Of what is refused, the handlers do not know the method; to HEAD there is no body.
    const bool refusal = answered == methods.size();
    const bool to_head = refusal ? head_end + 4 == bytes.size() : methods[answered] == "HEAD";
    p.skip(to_head);
    p.eager(true);
    std::size_t taken = 0;
    while (!p.is_done() && taken < bytes.size()) {
      const std::size_t n = p.put(asio::const_buffer(bytes.data() + taken, bytes.size() - taken), ec);
      taken += n;
      if (ec == beast::error::need_more || n == 0) break;
      expect(!ec, "Beast reads the response");
    }
    const auto& r = p.get();
    if (!p.is_done()) {
      // Until the end of the connection, for HTTP/1.0; or cut off, since its context ended while it was sent.
      expect(p.is_header_done() && taken == bytes.size(), "a response that is not over is the last");
    }
    bytes.remove_prefix(taken);
    if (r.result_int() == 100) continue;
    expect(r.result_int() >= 200, "of the interim responses, only 100");
    ++answered;
    expect(!refusal || !r.keep_alive(), "behind what is no request nothing is read");
    if (const auto number = r.find("X-Number"); number != r.end()) {
      expect(std::to_string(answered) == std::string_view(number->value().data(), number->value().size()),
             "the responses come in the order of the requests");
    }
    last = !r.keep_alive() || !p.is_done();
  }
  expect(answered <= methods.size() + 1, "a response answers a request, or refuses what is none");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static serving server;
  const curfew::fuzz::input in(data, size);
  if (in.message.size() > 20'000) return 0;
  const auto how = (in.flags & 3) == 1   ? ending::close
                   : (in.flags & 3) == 2 ? ending::close_unread
                                         : ending::half_close;
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) std::abort();
  server.state.open.fetch_add(1);
  server.state.opened();
  server.on.adopt(ends[1], {});
  const std::string received = talk(ends[0], {in.message, in.seed}, (in.flags & 4) != 0, how);
  ::close(ends[0]);
  const auto limit = steady::now() + hang;
  while (server.state.open.load() != 0) {
    expect(steady::now() < limit, "the connection goes");
    std::this_thread::yield();
  }
  const std::lock_guard guard(seen.mutex);
  check_responses(received, seen.methods);
  for (const context& each : seen.contexts) expect(bool(each.err()), "every context has ended");
  seen.contexts.clear();
  seen.methods.clear();
  return 0;
}
