// Bodies of requests that are not in memory: from a file, from a source. Over both engines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/io/wait.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "http/both_engines.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace client_tests;
using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Bytes that differ from place to place.
std::string some_bytes(std::size_t size) {
  std::string made(size, '\0');
  std::uint32_t state = 1;
  for (char& each : made) each = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return made;
}

/// A file that goes with the test.
class temporary_file {
 public:
  explicit temporary_file(const std::string& content) {
    static std::atomic<int> number = 0;
    path_ = (std::filesystem::temp_directory_path() /
             ("curfew-upload-" + std::to_string(getpid()) + '-' + std::to_string(++number)))
                .string();
    std::ofstream(path_, std::ios::binary) << content;
  }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  ~temporary_file() { std::filesystem::remove(path_); }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Reads a request with a chunked body; the body as it was before. Empty if the other side closed before its end.
std::string read_chunked(conversation& c, std::string& header) {
  header = c.read_header();
  std::string raw;
  std::string body;
  for (std::size_t at = 0;;) {
    const std::size_t line = raw.find("\r\n", at);
    if (line != std::string::npos) {
      const std::size_t size = std::stoul(raw.substr(at, line - at), nullptr, 16);
      if (raw.size() >= line + 2 + size + 2) {
        body += raw.substr(line + 2, size);
        at = line + 2 + size + 2;
        if (size == 0) return body;
        continue;
      }
    }
    const std::string more = c.read_unread();
    if (more.empty()) return {};
    raw += more;
  }
}

/// Answers each request with what its body was; chunked bodies and others.
peer::script echoing(std::vector<std::string>* headers = nullptr) {
  return [headers](conversation& c) {
    for (;;) {
      std::string header;
      std::string body;
      const std::string begin = c.peek_header();
      if (begin.empty()) return;
      if (begin.find("Transfer-Encoding: chunked") != std::string::npos) {
        body = read_chunked(c, header);
      } else {
        header = begin;
        body = c.read_request().substr(begin.size());
      }
      if (headers != nullptr) headers->push_back(header);
      if (!c.write(ok(body))) return;
    }
  };
}

body_source writing(std::vector<std::string> pieces) {
  return [pieces = std::move(pieces)](context ctx, body_writer out) -> asio::awaitable<void> {
    for (const auto& each : pieces) {
      auto sending = out.async_write(ctx, each);
      const auto sent = co_await std::move(sending);
      if (!sent) co_return;
    }
  };
}

class Upload : public OverBothEngines {};
CURFEW_OVER_BOTH_ENGINES(Upload);

TEST_P(Upload, SendsAFileWithItsLength) {
  const std::string content = some_bytes(700'000);
  const temporary_file file(content);
  std::vector<std::string> headers;
  engine_peer server(GetParam(), echoing(&headers));
  const auto answer = sender.send(background(), request("PUT", server.url()).file(file.path()));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_TRUE(answer->body() == content);
  ASSERT_EQ(headers.size(), 1u);
  EXPECT_THAT(headers[0], StartsWith("PUT / HTTP/1.1\r\n"));
  EXPECT_THAT(headers[0], HasSubstr("\r\nContent-Length: 700000\r\n"));
  EXPECT_THAT(headers[0], Not(HasSubstr("Expect")));
}

TEST_P(Upload, SendsAPartOfAFile) {
  const temporary_file file("0123456789");
  engine_peer server(GetParam(), echoing());
  const auto answer = sender.send(background(), request("POST", server.url()).file(file.path(), 3, 4));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "3456");
  const auto rest = sender.send(background(), request("POST", server.url()).file(file.path(), 7));
  ASSERT_TRUE(rest) << rest.error();
  EXPECT_EQ(rest->body(), "789");
  const auto nothing = sender.send(background(), request("POST", server.url()).file(file.path(), 10));
  ASSERT_TRUE(nothing) << nothing.error();
  EXPECT_EQ(nothing->body(), "");
  EXPECT_EQ(server.connections(), 1);
}

TEST_P(Upload, OfAFileThatCannotBeOpenedSendsNothing) {
  engine_peer server(GetParam(), echoing());
  const error missing = error_of(sender.send(background(), request("PUT", server.url()).file("/nowhere/x")));
  EXPECT_EQ(missing, std::errc::no_such_file_or_directory);
  EXPECT_EQ(missing.doing(), "PUT " + server.url() + " : opening the file /nowhere/x");
  const error directory = error_of(sender.send(background(), request("PUT", server.url()).file("/")));
  EXPECT_EQ(directory, std::errc::is_a_directory);
  const temporary_file file("short");
  const error beyond =
      error_of(sender.send(background(), request("PUT", server.url()).file(file.path(), 2, 4)));
  EXPECT_EQ(beyond, std::errc::invalid_argument);
  EXPECT_THAT(beyond.doing(), HasSubstr("ends before the part"));
  EXPECT_EQ(server.connections(), 0);
}

TEST_P(Upload, OfAFileThatBecomesShorterFails) {
  const temporary_file file(std::string(32 * 1024 * 1024, 'x'));
  moment header_came;
  moment cut;
  engine_peer server(GetParam(), [&](conversation& c) {
    c.read_header();
    header_came.set();
    if (cut.wait()) c.sees_close();
  });
  auto sending = std::async(std::launch::async, [&] {
    return sender.send(background(), request("PUT", server.url()).file(file.path()));
  });
  ASSERT_TRUE(header_came.wait());
  std::filesystem::resize_file(file.path(), 1000);
  cut.set();
  const error why = error_of(sending.get());
  EXPECT_EQ(why, std::errc::io_error) << why;
  EXPECT_THAT(why.doing(), HasSubstr(" : sending (the file " + file.path() + " has become shorter"));
}

TEST_P(Upload, SendsWhatASourceWritesInChunks) {
  std::vector<std::string> headers;
  engine_peer server(GetParam(), echoing(&headers));
  const std::string much = some_bytes(300'000);
  for (int i = 0; i < 3; ++i) {
    const auto answer = sender.send(
        background(), request("POST", server.url()).stream(writing({"one ", "", much, " three"})));
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_TRUE(answer->body() == "one " + much + " three");
  }
  ASSERT_EQ(headers.size(), 3u);
  EXPECT_THAT(headers[0], StartsWith("POST / HTTP/1.1\r\n"));
  EXPECT_THAT(headers[0], HasSubstr("\r\nTransfer-Encoding: chunked\r\n"));
  EXPECT_THAT(headers[0], Not(HasSubstr("Content-Length")));
  EXPECT_EQ(server.connections(), 1);
}

TEST_P(Upload, SendsWhatASourceWritesWithTheLengthThatIsGiven) {
  std::vector<std::string> headers;
  engine_peer server(GetParam(), echoing(&headers));
  const auto answer =
      sender.send(background(),
                  request("PUT", server.url()).set("Content-Length", "8").stream(writing({"1234", "5678"})));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "12345678");
  ASSERT_EQ(headers.size(), 1u);
  EXPECT_THAT(headers[0], HasSubstr("\r\nContent-Length: 8\r\n"));
  EXPECT_THAT(headers[0], Not(HasSubstr("Transfer-Encoding")));
}

TEST_P(Upload, ASourceHasToGiveWhatItsLengthSays) {
  engine_peer server(GetParam(), [](conversation& c) { c.sees_close(); });
  for (const char* length : {"7", "9"}) {
    const error why = error_of(sender.send(
        background(),
        request("PUT", server.url()).set("Content-Length", length).stream(writing({"1234", "5678"}))));
    EXPECT_EQ(why, std::errc::message_size) << why;
    EXPECT_THAT(why.doing(), HasSubstr("Content-Length"));
  }
  const error no_number = error_of(sender.send(
      background(), request("PUT", server.url()).set("Content-Length", "many").stream(writing({}))));
  EXPECT_EQ(no_number, std::errc::invalid_argument);
}

TEST_P(Upload, FailsWithWhatItsSourceThrows) {
  moment closed;
  engine_peer server(GetParam(), [&](conversation& c) {
    if (c.sees_close()) closed.set();
  });
  const auto throws = [](context ctx, body_writer out) -> asio::awaitable<void> {
    auto sending = out.async_write(ctx, "a part");
    std::ignore = co_await std::move(sending);
    throw std::runtime_error("no more ink");
  };
  const error why = error_of(sender.send(background(), request("POST", server.url()).stream(throws)));
  EXPECT_EQ(why, std::errc::io_error);
  EXPECT_THAT(why.doing(), EndsWith(" : sending (the source of the body threw: no more ink)"));
  EXPECT_TRUE(closed.wait());
  const auto with_code = [](context, body_writer) -> asio::awaitable<void> {
    throw std::system_error(std::make_error_code(std::errc::no_space_on_device));
    co_return;
  };
  const error coded = error_of(sender.send(background(), request("POST", server.url()).stream(with_code)));
  EXPECT_EQ(coded, std::errc::no_space_on_device);
}

TEST_P(Upload, ASourceIsHeldBackByAServerThatDoesNotRead) {
  moment read_on;
  engine_peer server(GetParam(), [&](conversation& c) {
    if (!read_on.wait()) return;
    std::string header;
    const std::string body = read_chunked(c, header);
    c.write(ok(std::to_string(body.size())));
  });
  constexpr std::size_t total = 64 * 1024 * 1024;
  std::atomic<std::size_t> written = 0;
  const auto endless = [&](context ctx, body_writer out) -> asio::awaitable<void> {
    while (written < total) {
      auto sending = out.async_write(ctx, std::string(64 * 1024, 'x'));
      const auto sent = co_await std::move(sending);
      if (!sent) co_return;
      written += 64 * 1024;
    }
  };
  auto sending = std::async(std::launch::async, [&] {
    return sender.send(background(), request("POST", server.url()).stream(endless));
  });
  // Held back: it does not get further for a while, whatever the kernel's buffers are.
  for (std::size_t before = 1; before != written || before == 0;) {
    before = written;
    std::this_thread::sleep_for(200ms);
  }
  EXPECT_LT(written, total);
  read_on.set();
  const auto answer = sending.get();
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), std::to_string(total));
}

TEST_P(Upload, TheEndOfTheContextEndsTheSourceAndThenTheCall) {
  moment closed;
  engine_peer server(GetParam(), [&](conversation& c) {
    if (c.sees_close()) closed.set();
  });
  auto scope = with_cancel(background());
  std::atomic<bool> returned = false;
  std::string why;
  const auto waits = [&](context ctx, body_writer out) -> asio::awaitable<void> {
    auto sending = out.async_write(ctx, "a part");
    std::ignore = co_await std::move(sending);
    scope.cancel(cause("enough"));
    auto ending = async_wait(ctx.done());
    co_await std::move(ending);
    why = ctx.cause().message();
    std::this_thread::sleep_for(20ms);  // NOLINT(curfew-blocking-call): the call waits for it
    returned = true;
  };
  const error of = error_of(sender.send(scope, request("POST", server.url()).stream(waits)));
  EXPECT_TRUE(returned);
  EXPECT_EQ(why, "enough");
  EXPECT_EQ(of, curfew::errc::canceled);
  EXPECT_EQ(of.cause().message(), "enough");
  EXPECT_TRUE(closed.wait());
}

TEST_P(Upload, AnAnswerThatRefusesStopsTheSource) {
  engine_peer server(GetParam(), [](conversation& c) {
    if (c.read_header().find("POST") == std::string::npos) {
      c.write(ok("next"));
      return;
    }
    c.write("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno");
    c.sees_close();
  });
  cause why;
  const auto waits = [&](context ctx, body_writer out) -> asio::awaitable<void> {
    auto sending = out.async_write(ctx, "a part");
    std::ignore = co_await std::move(sending);
    auto ending = async_wait(ctx.done());
    co_await std::move(ending);
    why = ctx.cause();
  };
  const auto refused = sender.send(background(), request("POST", server.url()).stream(waits));
  ASSERT_TRUE(refused) << refused.error();
  EXPECT_EQ(refused->status(), status::content_too_large);
  EXPECT_EQ(refused->body(), "no");
  EXPECT_EQ(why, errc::answered);
  const auto next = sender.send(background(), get_of(server.url()));
  ASSERT_TRUE(next) << next.error();
  EXPECT_EQ(next->body(), "next");
  EXPECT_EQ(server.connections(), 2);  // the rest of a body was not to come
}

TEST_P(Upload, AnAnswerThatRefusesStopsAWrite) {
  moment over;
  engine_peer server(GetParam(), [&](conversation& c) {
    c.read_header();
    c.write("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno");
    std::ignore = over.wait();  // reads no more
  });
  std::optional<error> last;
  const auto endless = [&](context ctx, body_writer out) -> asio::awaitable<void> {
    for (;;) {
      auto sending = out.async_write(without_cancel(ctx), std::string(256 * 1024, 'x'));
      auto sent = co_await std::move(sending);
      if (sent) continue;
      last = sent.error();
      co_return;
    }
  };
  const auto refused = sender.send(background(), request("POST", server.url()).stream(endless));
  over.set();
  ASSERT_TRUE(refused) << refused.error();
  EXPECT_EQ(refused->body(), "no");
  ASSERT_TRUE(last);
  EXPECT_EQ(*last, errc::connection_lost);
}

TEST_P(Upload, AFileIsSentAgainWhereARedirectLeads) {
  const std::string content = some_bytes(200'000);
  const temporary_file file(content);
  engine_peer server(GetParam(), [&](conversation& c) {
    for (std::string got; !(got = c.read_request()).empty();) {
      const std::string body = got.substr(got.find("\r\n\r\n") + 4);
      c.write(got.starts_with("GET /there ") ? ok(body) : redirect_to("/there", 307));
    }
  });
  const auto answer = sender.send(background(), request("GET", server.url()).file(file.path()));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_TRUE(answer->body() == content);
}

TEST_P(Upload, ASourceBeginsAgainWhereARedirectLeadsIfItCan) {
  engine_peer server(GetParam(), [&](conversation& c) {
    for (;;) {
      std::string header;
      const std::string body = read_chunked(c, header);
      if (header.empty()) return;
      c.write(header.starts_with("GET /there ") ? ok(body) : redirect_to("/there", 308));
    }
  });
  std::atomic<int> called = 0;
  const auto counts = [&](context ctx, body_writer out) -> asio::awaitable<void> {
    ++called;
    auto sending = out.async_write(ctx, "all of it");
    std::ignore = co_await std::move(sending);
  };
  const auto answer = sender.send(background(), request("GET", server.url()).stream(counts, repeatable::yes));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "all of it");
  EXPECT_EQ(called, 2);
  const error why = error_of(sender.send(background(), request("GET", server.url()).stream(counts)));
  EXPECT_EQ(why, std::errc::operation_not_supported) << why;
  EXPECT_THAT(why.doing(), HasSubstr("a redirect, and the source of the body cannot begin again"));
  EXPECT_EQ(called, 3);
}

TEST_P(Upload, ARedirectInTheMiddleOfABodyStopsTheSourceBeforeItBeginsAgain) {
  engine_peer server(GetParam(), [&](conversation& c) {
    const std::string header = c.peek_header();
    if (!header.starts_with("GET /there ")) {
      c.read_header();
      c.write(redirect_to("/there", 307));
      c.sees_close();
      return;
    }
    std::string again;
    c.write(ok(read_chunked(c, again)));
  });
  std::atomic<int> running = 0;
  std::atomic<int> called = 0;
  bool overlap = false;
  const auto waits_once = [&](context ctx, body_writer out) -> asio::awaitable<void> {
    overlap = overlap || ++running != 1;
    const bool first = ++called == 1;
    auto sending = out.async_write(ctx, "x");
    std::ignore = co_await std::move(sending);
    if (first) {
      auto ending = async_wait(ctx.done());
      co_await std::move(ending);
    }
    --running;
  };
  const auto answer =
      sender.send(background(), request("GET", server.url()).stream(waits_once, repeatable::yes));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "x");
  EXPECT_EQ(called, 2);
  EXPECT_FALSE(overlap);
}

TEST_P(Upload, IsRepeatedWhereAKeptConnectionTurnsOutToBeDead) {
  const auto read_body = [](conversation& c) {
    const std::string header = c.peek_header();
    std::string again;
    if (header.find("chunked") != std::string::npos) return read_chunked(c, again);
    return c.read_request().substr(header.size());
  };
  engine_peer server(GetParam(), [&](conversation& c) {
    if (!c.peek_header().starts_with("GET")) {
      c.write(ok(read_body(c)));
      return;
    }
    c.read_request();
    c.write(ok(""));
    read_body(c);  // of the next request, which finds no answer
  });
  const auto send_on_a_dead_one = [&](const request& what) {
    client one(options());
    EXPECT_TRUE(one.send(background(), get_of(server.url())));
    return one.send(background(), what);
  };
  const temporary_file file("of a file");
  const auto first = send_on_a_dead_one(request("PUT", server.url()).file(file.path()));
  ASSERT_TRUE(first) << first.error();
  EXPECT_EQ(first->body(), "of a file");
  const body_source source = writing({"of a ", "source"});
  const auto second = send_on_a_dead_one(request("PUT", server.url()).stream(source, repeatable::yes));
  ASSERT_TRUE(second) << second.error();
  EXPECT_EQ(second->body(), "of a source");
  const error third = error_of(send_on_a_dead_one(request("PUT", server.url()).stream(source)));
  EXPECT_EQ(third, errc::connection_lost) << third;
  EXPECT_THAT(third.doing(), HasSubstr("the source of the body cannot begin again"));
}

TEST_P(Upload, ASourceIsNotCalledBeforeTheServerWantsTheBody) {
  for (const bool wanted : {true, false}) {
    std::atomic<bool> called = false;
    bool called_early = false;
    engine_peer server(GetParam(), [&](conversation& c) {
      EXPECT_THAT(c.peek_header(), HasSubstr("Expect: 100-continue"));
      called_early = called;
      if (!wanted) {
        c.read_header();
        c.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        return;
      }
      c.write("HTTP/1.1 100 Continue\r\n\r\n");
      std::string header;
      c.write(ok(read_chunked(c, header)));
    });
    const auto source = [&](context ctx, body_writer out) -> asio::awaitable<void> {
      called = true;
      auto sending = out.async_write(ctx, "wanted");
      std::ignore = co_await std::move(sending);
    };
    const auto answer =
        sender.send(background(), request("POST", server.url()).set("Expect", "100-continue").stream(source));
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_EQ(answer->body(), wanted ? "wanted" : "");
    EXPECT_FALSE(called_early);
    EXPECT_EQ(called, wanted);
  }
}

TEST_P(Upload, OpensADownloadWhenItIsSent) {
  engine_peer server(GetParam(), echoing());
  auto got = sender.open(background(), request("POST", server.url()).stream(writing({"to ", "and fro"})));
  ASSERT_TRUE(got) << got.error();
  std::string all;
  for (;;) {
    auto piece = got->read(background());
    ASSERT_TRUE(piece) << piece.error();
    if (!*piece) break;
    all += **piece;
  }
  EXPECT_EQ(all, "to and fro");
}

TEST_P(Upload, OpensADownloadOfAnAnswerThatCameBeforeTheBodyWasSent) {
  engine_peer server(GetParam(), [](conversation& c) {
    const std::string header = c.read_header();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    std::size_t size = 0;
    while (size < 8u * 1024 * 1024) {
      const std::string more = c.read_unread();
      if (more.empty()) return;
      size += more.size();
    }
    c.write("all");
  });
  auto got =
      sender.open(background(), request("POST", server.url()).body(std::string(8u * 1024 * 1024, 'x')));
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(got->read(background()).value(), "all");
}

TEST_P(Upload, ASourceRunsOnTheHandlersExecutor) {
  engine_peer server(GetParam(), echoing());
  asio::io_context io;
  std::thread::id ran_in;
  const auto source = [&](context ctx, body_writer out) -> asio::awaitable<void> {
    ran_in = std::this_thread::get_id();
    auto sending = out.async_write(ctx, "hello");
    std::ignore = co_await std::move(sending);
  };
  std::optional<result<response>> answer;
  sender.async_send(background(), request("POST", server.url()).stream(source),
                    asio::bind_executor(io, [&](result<response> got) { answer = std::move(got); }));
  std::thread runs([&] { io.run(); });
  const auto expected = runs.get_id();
  runs.join();
  ASSERT_TRUE(answer);
  ASSERT_TRUE(*answer) << answer->error();
  EXPECT_EQ((*answer)->body(), "hello");
  EXPECT_EQ(ran_in, expected);
}

TEST_P(Upload, AWriterThatIsKeptWritesNothingMore) {
  engine_peer server(GetParam(), echoing());
  asio::io_context io;
  std::optional<body_writer> kept;
  const auto source = [&](context ctx, body_writer out) -> asio::awaitable<void> {
    kept = out;
    auto sending = out.async_write(ctx, "hello");
    std::ignore = co_await std::move(sending);
  };
  const auto late = [&]() -> asio::awaitable<void> {
    auto call = sender.async_send(background(), request("POST", server.url()).stream(source));
    const auto answer = co_await std::move(call);
    EXPECT_TRUE(answer);
    auto sending = kept->async_write(background(), "more");
    const auto sent = co_await std::move(sending);
    EXPECT_FALSE(sent);
    EXPECT_EQ(sent.error(), std::errc::operation_not_permitted);
  };
  asio::co_spawn(io, late, asio::detached);
  io.run();
}

TEST_P(Upload, GoesWithItsIoContext) {
  moment began;
  engine_peer server(GetParam(), [&](conversation& c) { c.sees_close(); });
  const auto held = std::make_shared<int>(1);
  bool completed = false;
  {
    client mine(options());
    asio::io_context io;
    const auto waits = [&, held](context ctx, body_writer) -> asio::awaitable<void> {
      const auto of_the_frame = held;
      began.set();
      auto ending = async_wait(ctx.done());
      co_await std::move(ending);
    };
    mine.async_send(background(), request("POST", server.url()).stream(waits),
                    asio::bind_executor(io, [&](const result<response>&) { completed = true; }));
    while (!began.is_set()) io.run_for(1ms);
  }
  EXPECT_FALSE(completed);
  EXPECT_EQ(held.use_count(), 1);
}

TEST_P(Upload, TheEndOfTheClientEndsTheSourceAndTheCall) {
  moment began;
  engine_peer server(GetParam(), [&](conversation& c) { c.sees_close(); });
  auto gone = std::make_unique<client>(options());
  const auto waits = [&](context ctx, body_writer) -> asio::awaitable<void> {
    began.set();
    auto ending = async_wait(ctx.done());
    co_await std::move(ending);
  };
  asio::io_context io;
  std::optional<result<response>> answer;
  gone->async_send(background(), request("POST", server.url()).stream(waits),
                   asio::bind_executor(io, [&](result<response> got) { answer = std::move(got); }));
  std::thread runs([&] { io.run(); });
  EXPECT_TRUE(began.wait());
  gone.reset();
  runs.join();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error(), curfew::errc::canceled);
}

}  // namespace
}  // namespace curfew::http
