// Clients that vanish: how soon the contexts of their requests end, and what is left behind.
//
//   bench_http_vanish [requests in flight]      default: 10000, or as many as the limit of descriptors allows
//
// One by one: with all requests in flight a client closes; the time until an on_done of its request's context
// runs. All at once: the same for all of them together; then descriptors and memory are counted.
#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <curfew/io/wait.hpp>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace http = curfew::http;
namespace asio = boost::asio;

namespace {

using clock_type = std::chrono::steady_clock;

/// What is known of each request; a client names its own in the path.
struct slot {
  std::atomic<clock_type::rep> ended{0};
};

std::vector<slot> slots;
std::atomic<std::size_t> running{0};
std::atomic<std::size_t> wrong{0};

asio::awaitable<http::response> wait(curfew::context ctx, const http::request& request) {
  slot& mine = slots[std::stoul(std::string(request.param("slot")))];
  const auto note = [&mine] { mine.ended = clock_type::now().time_since_epoch().count(); };
  const curfew::on_done noted(ctx, note);
  ++running;
  co_await curfew::async_wait(ctx.done());
  if (ctx.cause() != http::errc::client_gone) ++wrong;
  --running;
  co_return http::text(http::status::ok, "late\n");
}

int ask(std::uint16_t port, std::size_t which) {
  const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::string text = "GET /wait/" + std::to_string(which) + " HTTP/1.1\r\nHost: b\r\n\r\n";
  if (made < 0 || ::connect(made, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 ||
      ::send(made, text.data(), text.size(), MSG_NOSIGNAL) < 0) {
    std::perror("connecting");
    std::exit(1);
  }
  return made;
}

template <class F>
void until(F f) {
  const auto limit = clock_type::now() + std::chrono::seconds(60);
  while (!f()) {
    if (clock_type::now() > limit) {
      std::fprintf(stderr, "this takes too long: %zu requests are running\n", running.load());
      std::exit(1);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

std::ptrdiff_t descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                       std::filesystem::directory_iterator());
}

std::size_t allocated() { return ::mallinfo2().uordblks; }

double microseconds(clock_type::rep nanoseconds) { return static_cast<double>(nanoseconds) / 1e3; }

}  // namespace

int main(int argc, char** argv) {
  constexpr std::size_t measured = 2000;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  std::size_t count = argc > 1 ? std::stoul(argv[1]) : 10'000;
  count = std::min<std::size_t>(count, (files.rlim_cur - 64) / 2);
  slots = std::vector<slot>(count);

  http::router routes;
  routes.get("/wait/{slot}", wait);
  http::server server(routes, http::server_options().threads(1).max_connections(2 * count));
  if (const auto up = server.listen(); !up) {
    std::fprintf(stderr, "%s\n", up.error().message().c_str());
    return 1;
  }
  auto root = curfew::with_cancel(curfew::background());
  std::thread serves([&] { static_cast<void>(server.serve(root)); });

  std::vector<int> clients(count);
  const auto connect_all = [&] {
    for (std::size_t i = 0; i < count; ++i) {
      slots[i].ended = 0;
      clients[i] = ask(server.port(), i);
    }
    until([&] { return running == count; });
  };
  const auto vanish_all = [&] {
    for (const int client : clients) ::close(client);
    until([&] { return running == 0; });
  };

  // Once to warm up: what the allocator and the kernel keep for next time is no leak.
  connect_all();
  vanish_all();
  std::vector<double> one_by_one;
  one_by_one.reserve(measured);
  until([&] { return descriptors() < static_cast<std::ptrdiff_t>(count); });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const auto descriptors_before = descriptors();
  const auto allocated_before = allocated();

  connect_all();
  const auto allocated_full = allocated();
  std::minstd_rand random(1);
  for (std::size_t i = 0; i < measured; ++i) {
    const std::size_t which = random() % count;
    const auto closed = clock_type::now();
    ::close(clients[which]);
    until([&] { return slots[which].ended != 0; });
    one_by_one.push_back(microseconds(slots[which].ended - closed.time_since_epoch().count()));
    slots[which].ended = 0;
    clients[which] = ask(server.port(), which);
    until([&] { return running == count; });
  }
  std::ranges::sort(one_by_one);

  for (auto& s : slots) s.ended = 0;
  const auto begin = clock_type::now();
  for (const int client : clients) ::close(client);
  const auto all_closed = clock_type::now();
  until([&] { return running == 0; });
  clock_type::rep last = 0;
  for (const auto& s : slots) last = std::max(last, s.ended.load());

  until([&] { return descriptors() <= descriptors_before; });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  std::printf("%zu requests in flight, one server thread\n", count);
  std::printf("client closes -> its context has ended, one by one: p50 %.0f us, p99 %.0f us, worst %.0f us\n",
              one_by_one[one_by_one.size() / 2], one_by_one[one_by_one.size() * 99 / 100], one_by_one.back());
  std::printf(
      "all close (which takes them %.1f ms) -> the last context has ended: %.1f ms after the first, %.1f ms "
      "after the last\n",
      microseconds((all_closed - begin).count()) / 1e3,
      microseconds(last - begin.time_since_epoch().count()) / 1e3,
      microseconds(last - all_closed.time_since_epoch().count()) / 1e3);
  std::printf("ended with another cause: %zu\n", wrong.load());
  std::printf("left behind: %td descriptors, %td bytes (while in flight: %zu bytes each)\n",
              descriptors() - descriptors_before,
              static_cast<std::ptrdiff_t>(allocated()) - static_cast<std::ptrdiff_t>(allocated_before),
              (allocated_full - allocated_before) / count);
  root.cancel();
  serves.join();
  return wrong == 0 ? 0 : 1;
}
