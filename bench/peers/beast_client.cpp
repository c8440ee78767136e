// HTTP/1.1 calls as Boost.Beast's users write them: a coroutine for each connection, which is kept, and a timer of the
// stream's for each call.
//
//   peer_beast_client <many|one> <url> [seconds]      prints: calls seconds cpu_seconds p50_us p99_us
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace asio = boost::asio;
namespace beast = boost::beast;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

namespace {

struct samples {
  steady::time_point warm = steady::now() + 300ms;
  steady::time_point end;
  std::vector<std::uint32_t> took;
};

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

using stream_type = beast::basic_stream<asio::ip::tcp, asio::io_context::executor_type>;

asio::awaitable<void, asio::io_context::executor_type> in_turn(asio::io_context& io, std::string host,
                                                               std::uint16_t port, std::string path,
                                                               samples& s) {
  constexpr asio::use_awaitable_t<asio::io_context::executor_type> use_awaitable;
  stream_type stream(io);
  co_await stream.async_connect(asio::ip::tcp::endpoint(asio::ip::make_address(host), port), use_awaitable);
  stream.socket().set_option(asio::ip::tcp::no_delay(true));
  beast::flat_buffer buffer;
  for (;;) {
    const auto begun = steady::now();
    beast::http::request<beast::http::empty_body> request(beast::http::verb::get, path, 11);
    request.set(beast::http::field::host, host + ':' + std::to_string(port));
    request.set(beast::http::field::user_agent, "beast");
    request.set(beast::http::field::accept, "*/*");
    stream.expires_after(3s);
    co_await beast::http::async_write(stream, request, use_awaitable);
    beast::http::response<beast::http::string_body> response;
    co_await beast::http::async_read(stream, buffer, response, use_awaitable);
    const auto now = steady::now();
    if (begun >= s.warm && now < s.end) s.took.push_back(static_cast<std::uint32_t>((now - begun).count()));
    if (now >= s.end) co_return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string what = argv[1];
  const std::string url = argv[2];
  const double seconds = argc > 3 ? std::stod(argv[3]) : 2;
  const auto host_at = url.find("://") + 3;
  const auto colon = url.find(':', host_at);
  const auto slash = url.find('/', colon);
  const std::string host = url.substr(host_at, colon - host_at);
  const auto port = static_cast<std::uint16_t>(std::stoi(url.substr(colon + 1)));
  samples s;
  s.end = s.warm + std::chrono::duration_cast<steady::duration>(std::chrono::duration<double>(seconds));
  double before = 0;
  std::thread watch([&] {
    std::this_thread::sleep_until(s.warm);
    before = cpu_seconds();
  });
  asio::io_context io{1};
  for (int i = 0; i < (what == "many" ? 64 : 1); ++i) {
    asio::co_spawn(io, in_turn(io, host, port, url.substr(slash), s), [](std::exception_ptr thrown) {
      if (thrown) std::rethrow_exception(thrown);
    });
  }
  io.run();
  const double cpu = cpu_seconds() - before;
  watch.join();
  std::ranges::sort(s.took);
  const auto at = [&](double part) {
    return s.took[static_cast<std::size_t>(part * static_cast<double>(s.took.size() - 1))];
  };
  std::printf("%zu %.3f %.6f %.1f %.1f\n", s.took.size(), seconds, cpu, at(0.5) / 1e3, at(0.99) / 1e3);
  return 0;
}
