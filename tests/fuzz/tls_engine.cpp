// Two ends of TLS that do anything in any order, over a wire that passes pieces, damages records, cuts, and inserts bytes:
// what is heard is the front of what was said, an end is heard only where it was said, and nothing hangs.
#include <curfew/tls/detail/engine.hpp>

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>

#include "fuzz/fuzz.hpp"
#include "tls/wire.hpp"

namespace {

using curfew::fuzz::expect;
using namespace curfew::tls::tests;

/// What the message says to do, a byte for the deed and one for how much.
struct script {
  std::string_view rest;

  [[nodiscard]] bool over() const { return rest.size() < 2; }
  unsigned next() {
    if (rest.empty()) return 0;
    const unsigned byte = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    return byte;
  }
};

/// The next record that passes has a bit changed, or more.
struct damage {
  unsigned where = 0;
  bool is_due = false;
  bool done = false;

  lane::change hook() {
    return [this](std::string& record, int) {
      if (!is_due) return;
      is_due = false;
      done = true;
      if (where % 8 == 7) {
        record.resize(where % record.size());
      } else {
        record[where % record.size()] ^= static_cast<char>(1U << where % 8);
      }
    };
  }
};

class game {
 public:
  explicit game(const curfew::fuzz::input& how)
      : numbers_(how.seed),
        pair_((how.flags & 1) != 0 ? TLS1_2_VERSION : TLS1_3_VERSION, (how.flags & 2) != 0 ? 1 : 0) {
    if ((how.flags & 4) != 0) {
      pair_.up.on_record(up_.hook());
      pair_.down.on_record(down_.hook());
    }
  }

  void play(script deeds) {
    for (int steps = 0; !deeds.over() && steps < 2000; ++steps) {
      const unsigned what = deeds.next();
      const unsigned much = deeds.next();
      do_one(what % 16, much, deeds);
      hold();
    }
    settle();
    if (!disturbed()) {
      expect(client_.wrong() == 0 && server_.wrong() == 0, "nothing is wrong where nothing was done to it");
      expect(client_.heard() == server_.said(), "all is heard that the server said");
      expect(server_.heard() == client_.said(), "all is heard that the client said");
    }
    pair_.up.cut();
    settle();
    expect(client_.at_end() || client_.read_wrong() != 0, "the client comes to an end");
    expect(server_.at_end() || server_.read_wrong() != 0, "the server comes to an end");
    expect(client_.read_wrong() == 0 || !pair_.client.failure().empty(), "the client says why");
    expect(server_.read_wrong() == 0 || !pair_.server.failure().empty(), "the server says why");
  }

 private:
  void do_one(unsigned what, unsigned much, script& deeds) {
    switch (what) {
      case 0:
        client_.write(much * 150);
        break;
      case 1:
        server_.write(much * 150);
        break;
      case 2:
        client_.read(much * 100);
        break;
      case 3:
        server_.read(much * 100);
        break;
      case 4:
        pair_.up.pump(much * much + 1);
        break;
      case 5:
        pair_.down.pump(much * much + 1);
        break;
      case 6:
        std::ignore = pair_.client.flush();
        break;
      case 7:
        std::ignore = pair_.server.flush();
        break;
      case 8:
        client_done_ = finish(pair_.client) || client_done_;
        break;
      case 9:
        server_done_ = finish(pair_.server) || server_done_;
        break;
      case 10:
        update(pair_.client, much);
        break;
      case 11:
        update(pair_.server, much);
        break;
      case 12:
        up_.is_due = true, up_.where = much;
        break;
      case 13:
        down_.is_due = true, down_.where = much;
        break;
      case 14:
        if (much % 8 != 0) break;
        cut_ = true;
        (much % 16 == 0 ? pair_.up : pair_.down).cut();
        break;
      default:
        insert(much, deeds);
        break;
    }
  }
  static bool finish(curfew::tls::engine& which) {
    std::ignore = which.finish();
    return which.is_open();
  }
  static void update(curfew::tls::engine& which, unsigned much) {
    if (which.is_open() && SSL_version(which.ssl()) == TLS1_3_VERSION)
      std::ignore = SSL_key_update(which.ssl(),
                                   much % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
  }
  /// Bytes that nobody has sent.
  void insert(unsigned much, script& deeds) {
    const auto& to = much % 2 == 0 ? pair_.at_client : pair_.at_server;
    std::string bytes;
    for (unsigned left = 1 + much / 8; left != 0 && !deeds.rest.empty(); --left)
      bytes += static_cast<char>(deeds.next());
    inserted_ = inserted_ || ::send(to.fds[1], bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0;
  }
  /// Until nothing moves.
  void settle() {
    int steps = 0;
    for (int idle = 0; idle < 3; ++steps) {
      std::ignore = pair_.client.flush();
      std::ignore = pair_.server.flush();
      bool moved = pair_.pump(100'000);
      moved = client_.read_all() || moved;
      moved = server_.read_all() || moved;
      idle = moved ? 0 : idle + 1;
      expect(steps < 100'000, "it settles");
    }
    hold();
  }
  void hold() {
    expect(server_.said().starts_with(client_.heard()), "the client hears what the server says");
    expect(client_.said().starts_with(server_.heard()), "the server hears what the client says");
    expect(!client_.at_end() || (server_done_ && client_.heard() == server_.said()), "the server has ended");
    expect(!server_.at_end() || (client_done_ && server_.heard() == client_.said()), "the client has ended");
  }
  [[nodiscard]] bool disturbed() const {
    return up_.done || down_.done || cut_ || inserted_ || ended_by_finish();
  }
  /// After its close_notify an end writes no more, which the speaker counts as wrong.
  [[nodiscard]] bool ended_by_finish() const { return client_done_ || server_done_; }

  speaker::random numbers_;
  tls_pair pair_;
  speaker client_{pair_.client, numbers_};
  speaker server_{pair_.server, numbers_};
  damage up_;
  damage down_;
  bool client_done_ = false;
  bool server_done_ = false;
  bool cut_ = false;
  bool inserted_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const curfew::fuzz::input given(data, size);
  game(given).play({given.message});
  return 0;
}
