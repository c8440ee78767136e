// What a server may send, and in how many pieces, must not change what it means.
#include "http/wire/client_session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/message/syntax.hpp"

namespace curfew::http {
namespace {

using ::testing::HasSubstr;
using event = client_session::event;

constexpr std::size_t header_limit = 1000;

/// Gives a session bytes in pieces, as a connection does, and writes down what it says.
class reader {
 public:
  explicit reader(client_session& session) : session_(session) {}

  /// False: the answer is over.
  bool give(std::string_view piece) {
    buffer_ += piece;
    for (;;) {
      std::string_view rest = buffer_;
      const event e = session_.receive(rest);
      if (e == event::body) body_ += session_.piece();
      buffer_.erase(0, buffer_.size() - rest.size());
      switch (e) {
        case event::need_more:
          most_left_ = std::max(most_left_, buffer_.size());
          return true;
        case event::interim:
          told_ += std::to_string(session_.status_of_interim()) + ' ';
          break;
        case event::head:
          told_ += "head ";
          break;
        case event::body:
          EXPECT_FALSE(session_.piece().empty());
          break;
        case event::done:
          told_ += "done";
          return false;
        case event::failed:
          told_ += failure();
          return false;
      }
    }
  }
  void end() { told_ += session_.receive_end() == event::done ? "done at the end" : failure(); }

  [[nodiscard]] const std::string& told() const { return told_; }
  [[nodiscard]] const std::string& body() const { return body_; }
  [[nodiscard]] const std::string& left() const { return buffer_; }
  [[nodiscard]] std::size_t most_left() const { return most_left_; }

 private:
  [[nodiscard]] std::string failure() const {
    const std::string detail(session_.detail());
    return session_.failure().message() + (detail.empty() ? "" : ": " + detail);
  }

  client_session& session_;
  std::string buffer_;
  std::string told_;
  std::string body_;
  std::size_t most_left_ = 0;
};

/// All that can be told about an answer, as text. The pieces end where `cuts` says.
std::string read(std::string_view bytes, bool is_head, std::span<const std::size_t> cuts) {
  response r;
  client_session session(header_limit);
  session.expect(is_head, r);
  reader from(session);
  std::size_t given = 0;
  bool open = true;
  for (const std::size_t cut : cuts) {
    if (!open) break;
    open = from.give(bytes.substr(given, cut - given));
    given = cut;
  }
  if (open) {
    open = from.give(bytes.substr(given));
    given = bytes.size();
  }
  if (open) from.end();
  EXPECT_LE(from.most_left(), header_limit + 20);
  std::string all = from.told();
  if (session.head_done()) {
    all += " | " + std::to_string(to_number(r.status()));
    for (const auto& [name, value] : r.fields()) all.append(" ").append(name).append("=").append(value);
    if (!from.body().empty()) all += " | " + from.body();
  }
  // What is behind the answer ends the connection, now or when it comes.
  if (session.keeps_alive() && given == bytes.size()) all += " | kept";
  return all;
}

struct exchange {
  std::string bytes;
  std::string expected;
  bool is_head = false;
};

std::string chunked(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
}

std::string repeated(const std::string& what, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += what;
  return all;
}

const std::string chunked_head = "head done | 200 Transfer-Encoding=chunked";
const std::string bad = "the response is not HTTP: ";
const std::string large = "response larger than the limit: ";
const std::string lost = "connection lost";
const std::string truncated = "connection lost before the end of the body";

std::vector<exchange> exchanges() {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::string in_chunks = " | 200 Transfer-Encoding=chunked";
  return {
      // Framing.
      {ok + "Content-Length: 5\r\n\r\nhello", "head done | 200 Content-Length=5 | hello | kept"},
      {ok + "content-length:5 \t\r\nA:\r\nB: b b\r\n\r\nhello",
       "head done | 200 content-length=5 A= B=b b | hello | kept"},
      {ok + "Content-Length: 0\r\n\r\n", "head done | 200 Content-Length=0 | kept"},
      {ok + "Content-Length: 00005\r\n\r\nhello", "head done | 200 Content-Length=00005 | hello | kept"},
      {ok + "\r\nuntil the end", "head done at the end | 200 | until the end"},
      {ok + "\r\n", "head done at the end | 200"},
      {"HTTP/1.0 200 OK\r\n\r\nold", "head done at the end | 200 | old"},
      {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", "head done | 200 Content-Length=3 | old"},
      {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n\r\nold",
       "head done | 200 Content-Length=3 Connection=Keep-Alive | old | kept"},
      {ok + "Connection: close\r\nContent-Length: 1\r\n\r\nx",
       "head done | 200 Connection=close Content-Length=1 | x"},
      {ok + "Connection: x, ClosE ,y\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
       "head done | 200 Connection=x, ClosE ,y Connection=keep-alive Content-Length=1 | x"},
      {ok + "Content-Length: 100\r\n\r\n", "head done | 200 Content-Length=100 | kept", true},
      {ok + "Transfer-Encoding: chunked\r\n\r\n", "head done | 200 Transfer-Encoding=chunked | kept", true},
      {ok + "\r\n", "head done | 200 | kept", true},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
       "head done | 304 Content-Length=100 | kept"},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "head done | 204 Content-Length=0 | kept"},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", "head done | 204 Content-Length=4"},
      {"HTTP/1.1 204 No Content\r\n\r\n", "head done | 204 | kept"},
      // Chunks.
      {chunked("5\r\nhello\r\n0\r\n\r\n"), "head done" + in_chunks + " | hello | kept"},
      {chunked("0\r\n\r\n"), "head done" + in_chunks + " | kept"},
      {chunked("A\r\n0123456789\r\n0000a\r\nabcdefghij\r\n000\r\n\r\n"),
       "head done" + in_chunks + " | 0123456789abcdefghij | kept"},
      {chunked("5;a=b ; c=\"d;e\"\r\nhello\r\n0;z\r\n\r\n"), "head done" + in_chunks + " | hello | kept"},
      {chunked("5  \r\nhello\r\n0 \r\n\r\n"), "head done" + in_chunks + " | hello | kept"},
      {chunked("2\r\nok\r\n0\r\nX: y\r\nConnection: close\r\nContent-Length: 9\r\n\r\n"),
       "head done" + in_chunks + " | ok | kept"},
      {chunked("no size\r\n"), "head " + bad + "the size of a chunk" + in_chunks},
      {chunked("\r\n"), "head " + bad + "the size of a chunk" + in_chunks},
      {chunked("-1\r\n"), "head " + bad + "the size of a chunk" + in_chunks},
      {chunked("0x5\r\nhello"), "head " + bad + "the size of a chunk" + in_chunks},
      {chunked("5 x\r\nhello"), "head " + bad + "the size of a chunk" + in_chunks},
      {chunked("5\nhello"), "head " + bad + "the size of a chunk" + in_chunks},
      {chunked("5\r\r\nhello"), "head " + bad + "the size of a chunk" + in_chunks},
      {chunked("5;a=\"\n\"\r\nhello"), "head " + bad + "the size of a chunk" + in_chunks},
      {chunked(std::string(16, 'F') + "\r\n"), "head " + bad + "the size of a chunk" + in_chunks},
      {chunked(std::string(17, '0')), "head " + bad + "the size of a chunk" + in_chunks},
      {chunked("7fffffffffffffff\r\nx"), "head " + truncated + in_chunks + " | x"},
      {chunked("5\r\nhello."),
       "head " + bad + "a chunk that is longer than its size" + in_chunks + " | hello"},
      {chunked("5\r\nhello\n"),
       "head " + bad + "a chunk that is longer than its size" + in_chunks + " | hello"},
      {chunked("0\r\n a: folded\r\n\r\n"), "head " + bad + "a folded line" + in_chunks},
      {chunked("0\r\nno field\r\n\r\n"), "head " + bad + "the name of a field" + in_chunks},
      {chunked("0\r\n\n"), "head " + bad + "a line that does not end with CR LF" + in_chunks},
      // Interim.
      {"HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 1\r\n\r\nx",
       "100 head done | 200 Content-Length=1 | x | kept"},
      {"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102\r\n\r\n" + ok + "Content-Length: 1\r\n\r\nx",
       "103 102 head done | 200 Content-Length=1 | x | kept"},
      {"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n" + ok + "Content-Length: 1\r\n\r\nx",
       "100 head done | 200 Content-Length=1 | x"},
      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw",
       bad + "status 101, which nothing asked for"},
      // The status line.
      {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "head done | 200 Content-Length=0 | kept"},
      {"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "head done | 200 Content-Length=0 | kept"},
      {"HTTP/1.1 999 Sch\xc3\xb6n\tja\r\nContent-Length: 0\r\n\r\n",
       "head done | 999 Content-Length=0 | kept"},
      {"HTTP/1.1 099 Low\r\n\r\n", bad + "a status below 100"},
      {"HTTP/1.1 000\r\n\r\n", bad + "a status below 100"},
      {"HTTP/1.1 20 OK\r\n\r\n", bad + "the status line"},
      {"HTTP/1.1 2000 OK\r\n\r\n", bad + "the status line"},
      {"HTTP/1.1  200 OK\r\n\r\n", bad + "the status line"},
      {"HTTP/1.1\t200 OK\r\n\r\n", bad + "the status line"},
      {"HTTP/1.1 -12 OK\r\n\r\n", bad + "the status line"},
      {"HTTP/1.2 200 OK\r\n\r\n", bad + "the status line"},
      {"HTTP/2 200 OK\r\n\r\n", bad + "the status line"},
      {"http/1.1 200 OK\r\n\r\n", bad + "the status line"},
      {" HTTP/1.1 200 OK\r\n\r\n", bad + "the status line"},
      {"\r\nHTTP/1.1 200 OK\r\n\r\n", bad + "the status line"},
      {"HTTP/1.1 200 O\x01K\r\n\r\n", bad + "the status line"},
      {"HTTP/1.1 200 OK\rX: y\r\n\r\n", bad + "the status line"},
      {"HTTP/1.1 200 OK\nX: y\r\n\r\n", bad + "a line that does not end with CR LF"},
      {"SSH-2.0-OpenSSH_9.2\r\n", bad + "the status line"},
      {std::string("\0\1\2", 3), bad + "the status line"},
      // Fields.
      {ok + "A: b\r\n  c\r\n\r\n", bad + "a folded line"},
      {ok + " A: b\r\n\r\n", bad + "a folded line"},
      {ok + "A: b\r\n\t\r\n\r\n", bad + "a folded line"},
      {ok + "A : b\r\n\r\n", bad + "the name of a field"},
      {ok + ": b\r\n\r\n", bad + "the name of a field"},
      {ok + "A\x80: b\r\n\r\n", bad + "the name of a field"},
      {ok + "A\r\n\r\n", bad + "the name of a field"},
      {ok + "A: b\rc\r\n\r\n", bad + "the value of a field"},
      {ok + "A: b\r\r\n\r\n", bad + "the value of a field"},
      {ok + "A: " + std::string(1, '\0') + "\r\n\r\n", bad + "the value of a field"},
      {ok + "A: b\nContent-Length: 1\r\n\r\nx", bad + "a line that does not end with CR LF"},
      {ok + "A: b\r\n\n", bad + "a line that does not end with CR LF"},
      {ok + "A: b\r\n\r\r\n", bad + "the name of a field"},
      // Lengths and codings that contradict each other, or say nothing.
      {ok + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", bad + "two Content-Length fields"},
      {ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", bad + "two Content-Length fields"},
      {ok + "Content-Length: 1, 1\r\n\r\nx", bad + "Content-Length"},
      {ok + "Content-Length: many\r\n\r\nx", bad + "Content-Length"},
      {ok + "Content-Length: +1\r\n\r\nx", bad + "Content-Length"},
      {ok + "Content-Length: -1\r\n\r\nx", bad + "Content-Length"},
      {ok + "Content-Length: 0x1\r\n\r\nx", bad + "Content-Length"},
      {ok + "Content-Length:\r\n\r\nx", bad + "Content-Length"},
      {ok + "Content-Length: 9223372036854775808\r\n\r\n", bad + "Content-Length"},
      {ok + "Content-Length: 18446744073709551617\r\n\r\n", bad + "Content-Length"},
      {ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
       bad + "Content-Length with Transfer-Encoding"},
      {ok + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nx",
       bad + "Content-Length with Transfer-Encoding"},
      {ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
       bad + "two Transfer-Encoding fields"},
      {ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", bad + "a transfer coding other than chunked"},
      {ok + "Transfer-Encoding: chunked, identity\r\n\r\n", bad + "a transfer coding other than chunked"},
      {ok + "Transfer-Encoding:\r\n\r\n", bad + "a transfer coding other than chunked"},
      {ok + "Transfer-Encoding: \x0b"
            "chunked\r\n\r\n",
       bad + "the value of a field"},
      {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       bad + "a transfer coding in HTTP/1.0"},
      // Limits.
      {ok + "X: " + std::string(1000, 'x'), large + "the header"},
      {ok + repeated("A: b\r\n", 163) + "\r\n", "head done at the end | 200" + repeated(" A=b", 163)},
      {ok + repeated("A: b\r\n", 164) + "\r\n", large + "the header"},
      {repeated("HTTP/1.1 103 Early Hints\r\n\r\n", 36), repeated("103 ", 35) + large + "the header"},
      {chunked("0\r\nX: " + std::string(1000, 'x')), "head " + large + "the trailer" + in_chunks},
      {chunked("0\r\n" + repeated("A: b\r\n", 200)), "head " + large + "the trailer" + in_chunks},
      {chunked("1;" + std::string(1000, 'x')), "head " + large + "chunk extensions" + in_chunks},
      {chunked(repeated("1;" + std::string(99, 'x') + "\r\ny\r\n", 11)),
       "head " + large + "chunk extensions" + in_chunks + " | " + std::string(10, 'y')},
      {chunked(repeated("64;" + std::string(99, 'x') + "\r\n" + std::string(100, 'y') + "\r\n", 20) +
               "0\r\n\r\n"),
       "head done" + in_chunks + " | " + std::string(2000, 'y') + " | kept"},
      // The server closes too early.
      {"", lost},
      {"HTTP/1.1 200 OK\r", lost},
      {"HTTP/1.1 2", lost},
      {ok + "Content-Le", lost},
      {ok + "Content-Length: 0\r\n", lost},
      {"HTTP/1.1 100 Continue\r\n\r\n", "100 " + lost},
      {ok + "Content-Length: 10\r\n\r\n12345", "head " + truncated + " | 200 Content-Length=10 | 12345"},
      {chunked("5\r\nhello\r\n"), "head " + truncated + in_chunks + " | hello"},
      {chunked("50\r\nhello"), "head " + truncated + in_chunks + " | hello"},
      {chunked("0\r\n"), "head " + truncated + in_chunks},
      {chunked("0\r\nA: b\r\n"), "head " + truncated + in_chunks},
  };
}

TEST(ClientSession, SaysWhatAnAnswerMeans) {
  for (const auto& [bytes, expected, is_head] : exchanges()) {
    EXPECT_EQ(read(bytes, is_head, {}), expected) << bytes;
  }
}

TEST(ClientSession, PiecesDoNotMatter) {
  std::minstd_rand random(1);
  for (const auto& [bytes, expected, is_head] : exchanges()) {
    for (std::size_t i = 1; i < bytes.size(); ++i) {
      ASSERT_EQ(read(bytes, is_head, std::vector{i}), expected) << bytes << "\ncut at " << i;
    }
    std::vector<std::size_t> each;
    for (std::size_t i = 1; i < bytes.size(); ++i) each.push_back(i);
    ASSERT_EQ(read(bytes, is_head, each), expected) << bytes << "\nbyte by byte";
    for (int n = 0; n < 20; ++n) {
      std::vector<std::size_t> cuts;
      for (std::size_t i = random() % 8; i < bytes.size(); i += random() % 8) cuts.push_back(i);
      ASSERT_EQ(read(bytes, is_head, cuts), expected) << bytes << "\ncut at random";
    }
  }
}

TEST(ClientSession, OneAnswerAfterAnother) {
  client_session session(header_limit);
  response r;
  for (int i = 0; i < 3; ++i) {
    session.expect(i == 1, r);
    EXPECT_FALSE(session.started());
    EXPECT_FALSE(session.keeps_alive());
    reader from(session);
    from.give("H");
    EXPECT_TRUE(session.started()) << "a byte that is not understood yet has come all the same";
    EXPECT_FALSE(session.head_done());
    from.give("TTP/1.1 20" + std::to_string(i) + " OK\r\nContent-Length: 2\r\n\r\n");
    EXPECT_TRUE(session.head_done());
    if (i != 1) from.give("ab");
    EXPECT_EQ(from.told(), "head done");
    EXPECT_EQ(to_number(r.status()), 200 + i);
    EXPECT_EQ(r.fields().size(), 1U);
    EXPECT_TRUE(session.keeps_alive());
  }
}

TEST(ClientSession, AnEndRightBehindAWholeAnswerIsNoLoss) {
  for (const char* length : {"0", "2"}) {
    client_session session(header_limit);
    response r;
    session.expect(false, r);
    const std::string bytes = "HTTP/1.1 200 OK\r\nContent-Length: " + std::string(length) + "\r\n\r\nab";
    std::string_view rest = std::string_view(bytes).substr(0, bytes.size() - (*length == '0' ? 2 : 0));
    ASSERT_EQ(session.receive(rest), event::head);
    if (*length != '0') {
      ASSERT_EQ(session.receive(rest), event::body);
    }
    EXPECT_EQ(session.receive_end(), event::done) << "although `done` was not asked for yet";
    EXPECT_EQ(session.receive_end(), event::done);
  }
}

TEST(ClientSession, WhatComesBehindTheAnswerEndsTheConnection) {
  for (const bool at_once : {true, false}) {
    client_session session(header_limit);
    response r;
    session.expect(false, r);
    reader from(session);
    from.give("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    if (at_once) {
      EXPECT_FALSE(from.give("abH"));
      EXPECT_EQ(from.left(), "H") << "it is not taken for a part of this answer";
      EXPECT_FALSE(session.keeps_alive());
    } else {
      EXPECT_FALSE(from.give("ab"));
      EXPECT_TRUE(session.keeps_alive()) << "what comes later is seen by the owner of the idle connection";
    }
  }
}

TEST(ClientSession, TheNumberOfFieldsIsBounded) {
  const auto read_fields = [](unsigned count) {
    client_session session(1'000'000);
    response r;
    session.expect(true, r);
    reader from(session);
    std::string bytes = "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n";
    for (unsigned i = 1; i < count; ++i) bytes += "A: b\r\n";
    from.give(bytes + "\r\n");
    return from.told();
  };
  EXPECT_EQ(read_fields(client_session::max_fields), "103 head done");
  EXPECT_EQ(read_fields(client_session::max_fields + 1),
            "103 " + large + "the number of fields in the header");
}

TEST(ClientSession, ALongBodyMayHaveAsManyChunksAsItLikes) {
  client_session session(header_limit);
  response r;
  session.expect(false, r);
  reader from(session);
  from.give(chunked(""));
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(from.give("1\r\nx\r\n"));
  EXPECT_FALSE(from.give("0\r\n\r\n"));
  EXPECT_EQ(from.body().size(), 100'000U);
}

/// Is what was understood an answer that may be believed? Told by the response alone, not by the session.
void expect_sound(const response& r, const std::string& body, std::string_view bytes) {
  EXPECT_GE(to_number(r.status()), 200U) << bytes;
  for (const auto& [name, value] : r.fields()) {
    EXPECT_TRUE(is_token(name)) << bytes;
    EXPECT_TRUE(is_field_value(value)) << bytes;
  }
  EXPECT_LE(r.fields().count("Content-Length") + r.fields().count("Transfer-Encoding"), 1U) << bytes;
  if (const auto length = r.fields().find("Content-Length");
      length && to_number(r.status()) != 204 && to_number(r.status()) != 304) {
    EXPECT_EQ(body.size(), std::stoul(std::string(*length))) << bytes;
  }
}

TEST(ClientSession, DamagedAnswersAreRefusedOrSound) {
  int refused = 0;
  int taken = 0;
  const auto known = exchanges();
  std::minstd_rand random(2);
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = known[random() % known.size()].bytes;
    for (auto hits = random() % 4; hits > 0 && !bytes.empty(); --hits) {
      const auto at = random() % bytes.size();
      switch (random() % 3) {
        case 0:
          bytes[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          bytes.erase(at, random() % 5);
          break;
        default:
          bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 9));
          break;
      }
    }
    std::vector<std::size_t> cuts;
    for (std::size_t at = random() % 20; at < bytes.size(); at += random() % 20) cuts.push_back(at);
    const auto whole = read(bytes, false, {});
    ASSERT_EQ(read(bytes, false, cuts), whole) << bytes;

    response r;
    client_session session(header_limit);
    session.expect(false, r);
    reader from(session);
    if (from.give(bytes)) from.end();
    if (from.told().ends_with("done") || from.told().ends_with("at the end")) {
      ++taken;
      expect_sound(r, from.body(), bytes);
    } else {
      ++refused;
    }
  }
  // Both happen, so the test says something about both.
  EXPECT_GT(refused, 1000);
  EXPECT_GT(taken, 1000);
}

}  // namespace
}  // namespace curfew::http
