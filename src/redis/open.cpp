#include "redis/open.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <chrono>
#include <curfew/io/detail/resolver.hpp>
#include <curfew/io/with.hpp>
#include <expected>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "redis/format.hpp"
#include "redis/reply_reader.hpp"

namespace curfew::redis {

namespace asio = boost::asio;
using socket = asio::generic::stream_protocol::socket;
using asio::ip::tcp;

namespace {

/// A call says what it does itself; so where is said with why.
error not_connected(const std::string& to, const std::string& why) {
  return {errc::connection_failed, to, to + ": " + why};
}

/// Why a step of it failed; `with(ctx)` tells the end of ctx as such.
std::string reason(const curfew::error& why) {
  return why == curfew::errc::deadline_exceeded ? "no answer within the time for connecting" : why.message();
}

asio::awaitable<curfew::result<>> connect_to(context ctx, socket& made,
                                             asio::generic::stream_protocol::endpoint to) {
  boost::system::error_code wrong;
  made.close(wrong);
  // Not Asio's, which programs that are started meanwhile would inherit.
  const auto kind = to.protocol();
  const int opened = ::socket(kind.family(), SOCK_STREAM | SOCK_CLOEXEC, kind.protocol());
  if (opened < 0) co_return curfew::error(std::error_code(errno, std::generic_category()));
  made.assign(kind, opened, wrong);
  if (wrong) {
    ::close(opened);
    co_return curfew::error(wrong);
  }
  curfew::result<> done = co_await made.async_connect(to, with(ctx));
  co_return done;
}

/// A peer that is gone without a word is noticed by the kernel.
void set_options(socket& made) {
  const auto set = [&made](int level, int name, int value) {
    ::setsockopt(made.native_handle(), level, name, &value, sizeof value);
  };
  constexpr int patience_ms = 20'000;
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, patience_ms);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

asio::awaitable<result<socket>> connect_tcp(context ctx, address::host to) {
  const std::string shown = to.name + ':' + std::to_string(to.port);
  auto found = co_await curfew::detail::async_resolve(ctx, to.name);
  if (!found) co_return not_connected(shown, reason(found.error()));
  socket made(co_await asio::this_coro::executor);
  std::string why;
  for (const auto& each : **found) {
    asio::generic::stream_protocol::endpoint generic(tcp::endpoint(each, to.port));
    auto done = co_await connect_to(ctx, made, generic);
    if (done) {
      set_options(made);
      co_return made;
    }
    why = reason(done.error());
    if (ctx.err()) break;
  }
  co_return not_connected(shown, why);
}

asio::awaitable<result<socket>> connect_unix(context ctx, std::string path) {
  socket made(co_await asio::this_coro::executor);
  asio::generic::stream_protocol::endpoint to{asio::local::stream_protocol::endpoint(path)};
  auto done = co_await connect_to(ctx, made, to);
  if (!done) co_return not_connected(path, reason(done.error()));
  co_return made;
}

/// What came of it, or why nothing did.
template <class T>
using outcome_or_text = std::expected<T, std::string>;

/// Until the socket has room for what TLS keeps, or has something to read.
asio::awaitable<outcome_or_text<void>> wait_for_tls(context ctx, link& on) {
  const auto what = on.tls->has_output() ? socket::wait_write : socket::wait_read;
  auto ready = co_await on.socket.async_wait(what, with(ctx));
  if (!ready) co_return std::unexpected("TLS: " + reason(ready.error()));
  co_return outcome_or_text<void>();
}

/// Shakes hands where the link is to be encrypted.
asio::awaitable<result<>> secure(context ctx, link& on, std::shared_ptr<const tls::client_trust> trusts,
                                 address::host to) {
  if (!trusts) co_return result<>();
  const std::string shown = to.name + ':' + std::to_string(to.port);
  on.tls = trusts->begin(to.name, shown, on.socket.native_handle());
  for (;;) {
    switch (on.tls->handshake()) {
      case tls::engine::progress::done:
        co_return result<>();
      case tls::engine::progress::failed:
        co_return not_connected(shown, "TLS: " + on.tls->failure());
      case tls::engine::progress::blocked:
        break;
    }
    auto ready = co_await wait_for_tls(ctx, on);
    if (!ready) co_return not_connected(shown, ready.error());
  }
}

asio::awaitable<outcome_or_text<void>> send_all(context ctx, link& on, std::string_view bytes) {
  if (!on.tls) {
    auto sent = co_await asio::async_write(on.socket, asio::buffer(bytes), with(ctx));
    if (!sent) co_return std::unexpected(reason(sent.error()));
    co_return outcome_or_text<void>();
  }
  std::array parts = {bytes};
  while (!parts[0].empty() || on.tls->has_output()) {
    if (on.tls->write(parts) >= 0) continue;
    if (errno != EAGAIN) break;  // what the server has said before that can still be read
    auto ready = co_await wait_for_tls(ctx, on);
    if (!ready) co_return ready;
  }
  co_return outcome_or_text<void>();
}

/// How many bytes have come.
asio::awaitable<outcome_or_text<std::size_t>> read_some(context ctx, link& on, std::span<char> into) {
  static constexpr const char* closed = "the server has closed the connection";
  if (!on.tls) {
    auto got = co_await on.socket.async_read_some(asio::buffer(into.data(), into.size()), with(ctx));
    if (got) co_return *got;
    co_return std::unexpected(got.error() == asio::error::eof ? closed : reason(got.error()));
  }
  for (;;) {
    const auto got = on.tls->read(into);
    if (got > 0) co_return static_cast<std::size_t>(got);
    if (got == 0) co_return std::unexpected(closed);
    if (errno != EAGAIN) co_return std::unexpected("TLS: " + on.tls->failure());
    auto ready = co_await wait_for_tls(ctx, on);
    if (!ready) co_return std::unexpected(std::move(ready).error());
  }
}

/// Sends commands on a connection that nothing else uses, and takes what each answers.
asio::awaitable<result<std::vector<reply>>> exchange(context ctx, link& on, std::string shown,
                                                     std::string sent, std::size_t count) {
  constexpr std::size_t most = 64 * 1024;
  std::vector<reply> got;
  if (count == 0) co_return got;
  auto written = co_await send_all(ctx, on, sent);
  if (!written) co_return not_connected(shown, written.error());
  reply_reader reader(most);
  std::array<char, 4096> in{};
  for (;;) {
    auto next = reader.take();
    if (!next) co_return error(next.error().code, shown, next.error().text);
    if (*next) {
      got.push_back(std::move(**next));
      if (got.size() == count) co_return got;
      continue;
    }
    auto read = co_await read_some(ctx, on, in);
    if (!read) co_return not_connected(shown, read.error());
    reader.feed(std::span(in).first(*read));
  }
}

/// Asks one Sentinel after the other for the master.
asio::awaitable<result<address::host>> find_master(context ctx, const address& of,
                                                   std::shared_ptr<const tls::client_trust> trusts) {
  std::string why;
  const std::vector<std::string_view> words{"SENTINEL", "get-master-addr-by-name", of.master};
  const std::string question = format(words);
  for (const auto& each : of.hosts) {
    auto made = co_await connect_tcp(ctx, each);
    if (!made) {
      why = made.error().text();
      continue;
    }
    link on{.socket = std::move(*made), .tls = nullptr};
    auto secured = co_await secure(ctx, on, trusts, each);
    if (!secured) {
      why = secured.error().text();
      continue;
    }
    auto answer = co_await exchange(ctx, on, each.name, question, 1);
    if (!answer) {
      why = answer.error().text();
      continue;
    }
    const auto& said = answer->front();
    if (said.items().size() == 2) {
      const int port = std::atoi(said.items()[1].text().c_str());
      if (port > 0 && port <= 65535)
        co_return address::host{said.items()[0].text(), static_cast<std::uint16_t>(port)};
    }
    why = said.is_error() ? said.text() : "Sentinel does not know that master";
  }
  co_return not_connected(of.shown, why);
}

/// What is said first, in the order of its answers.
struct greeting {
  std::string bytes;
  std::size_t count = 0;

  void add(std::initializer_list<std::string_view> words) {
    bytes += format(std::span(words.begin(), words.size()));
    ++count;
  }
};

}  // namespace

asio::awaitable<result<opened>> open(context ctx, std::shared_ptr<const settings> given,
                                     std::shared_ptr<const tls::client_trust> trusts, use what_for) {
  const address& to = given->to;
  std::optional<link> made;
  if (!to.unix_path.empty()) {
    auto done = co_await connect_unix(ctx, to.unix_path);
    if (!done) co_return std::move(done).error();
    made.emplace(std::move(*done), nullptr);
  } else {
    address::host host = to.hosts.front();
    if (!to.master.empty()) {
      auto found = co_await find_master(ctx, to, trusts);
      if (!found) co_return std::move(found).error();
      host = std::move(*found);
    }
    auto done = co_await connect_tcp(ctx, host);
    if (!done) co_return std::move(done).error();
    made.emplace(std::move(*done), nullptr);
    auto secured = co_await secure(ctx, *made, trusts, host);
    if (!secured) co_return std::move(secured).error();
  }
  const bool asks_role = !to.master.empty();
  const bool asks_id = what_for == use::waiting;
  greeting first;
  if (!to.password.empty()) {
    if (to.user.empty()) {
      first.add({"AUTH", to.password});
    } else {
      first.add({"AUTH", to.user, to.password});
    }
  }
  const std::string database = std::to_string(to.database);
  if (to.database != 0) first.add({"SELECT", database});
  if (!given->options.name().empty()) first.add({"CLIENT", "SETNAME", given->options.name()});
  if (asks_role) first.add({"ROLE"});
  if (asks_id) first.add({"CLIENT", "ID"});
  // A server of TLS 1.3 that refuses the client says so behind the handshake.
  if (made->tls && first.count == 0) first.add({"PING"});
  auto said = co_await exchange(ctx, *made, to.shown, first.bytes, first.count);
  if (!said) co_return std::move(said).error();
  for (const reply& each : *said) {
    if (each.is_error()) co_return detail::server_error(each, to.shown);
  }
  if (asks_role) {
    const auto& role = said->at(said->size() - (asks_id ? 2 : 1)).items();
    if (role.empty() || role[0].text() != "master")
      co_return not_connected(to.shown, "Sentinel names a server that is no master");
  }
  opened whole{.to = std::move(*made)};
  if (asks_id) whole.id = said->back().integer();
  co_return whole;
}

}  // namespace curfew::redis
