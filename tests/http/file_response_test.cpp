// Responses that are files, in plain and over TLS: what is sent, what is asked for, and how they end.
#include <curfew/http/file.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/save_file.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/http/tls.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "http/numbers.hpp"
#include "http/raw_client.hpp"
#include "http/tls_client.hpp"
#include "http/waiting.hpp"
#include "program.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::certificate_authority;
using curfew::testing::http_server;
using curfew::testing::test_certificate;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using tests::ends;
using tests::eventually;
using tests::numbers;
using tests::own_folder;
using tests::raw_client;

enum class over { plain, tls };

constexpr std::size_t large = 20'000'000;  // more than the buffers on the way
/// Does all of a large body come before the end of the connection? That may be a reset.
bool comes_whole(raw_client& from) {
  try {
    return from.read_to_end().size() == large;
  } catch (const std::system_error&) {
    return false;
  }
}

class FileResponse : public ::testing::TestWithParam<over> {
 protected:
  FileResponse() {
    if (GetParam() == over::plain) return;
    ca = std::make_unique<certificate_authority>();
    localhost = std::make_unique<test_certificate>(ca->issue({"localhost", "127.0.0.1"}));
  }

  server_options options() const {
    server_options made;
    if (!ca) return made;
    auto tls =
        tls_server::load(tls_server_options().certificate(localhost->chain_file(), localhost->key_file()));
    if (!tls) throw std::runtime_error(tls.error().message());
    return made.listen("127.0.0.1:0", listen_options().tls(*tls));
  }
  /// "/file" is that; "/below/{name}" what is in the folder; "/typed" says its own type.
  [[nodiscard]] router routes(const std::string& path) const {
    router made;
    made.get("/file",
             [path](context, const request& r) -> asio::awaitable<response> { co_return file(r, path); });
    made.post("/file",
              [path](context, const request& r) -> asio::awaitable<response> { co_return file(r, path); });
    made.get("/typed", [path](context, const request& r) -> asio::awaitable<response> {
      co_return file(r, path, "text/x-mine");
    });
    made.get("/below/{name}", [top = folder / "www"](context, const request& r) -> asio::awaitable<response> {
      co_return file_below(r, top, r.param("name"));
    });
    return made;
  }
  [[nodiscard]] client_options trusting() const {
    client_options made;
    if (ca) made.ca_file(ca->root_file());
    return made;
  }
  void secured(raw_client& c) const {
    if (ca) tests::secure(c);
  }

  own_folder folder;
  std::unique_ptr<certificate_authority> ca;
  std::unique_ptr<test_certificate> localhost;
};

INSTANTIATE_TEST_SUITE_P(Each, FileResponse, ::testing::Values(over::plain, over::tls),
                         [](const auto& what) { return what.param == over::plain ? "Plain" : "Tls"; });

std::string field(const response& of, std::string_view name) {
  return std::string(of.fields().find(name).value_or("none"));
}

TEST_P(FileResponse, IsTheFileWhateverItsSize) {
  client sender(trusting());
  for (const std::size_t size : {0UZ, 1UZ, 16'384UZ, 16'385UZ, 65'536UZ, 1'048'576UZ, 9'000'001UZ}) {
    const auto content = numbers(size);
    http_server s(routes(folder.write("it.txt", content)), options());
    for (int i = 0; i < 2; ++i) {  // the connection is good for another
      const auto got = sender.get(background(), s.url("/file"));
      ASSERT_TRUE(got) << got.error();
      EXPECT_EQ(got->status(), status::ok);
      EXPECT_TRUE(got->body() == content) << size;
      EXPECT_EQ(field(*got, "Content-Length"), std::to_string(size));
      EXPECT_EQ(field(*got, "Content-Type"), "text/plain; charset=utf-8");
      EXPECT_EQ(field(*got, "Accept-Ranges"), "bytes");
    }
    const auto head = sender.send(background(), request("HEAD", s.url("/file")));
    ASSERT_TRUE(head) << head.error();
    EXPECT_EQ(field(*head, "Content-Length"), std::to_string(size));
    const auto posted = sender.post(background(), s.url("/file"), "x", "text/plain");
    ASSERT_TRUE(posted) << posted.error();
    EXPECT_TRUE(posted->body() == content);
    EXPECT_THAT(s.complaints(), IsEmpty());
  }
}

TEST_P(FileResponse, SaysWhatTypeItIs) {
  client sender(trusting());
  const std::vector<std::pair<std::string, std::string>> types = {
      {"a.html", "text/html; charset=utf-8"},       {"A.PNG", "image/png"},
      {"a.b.js", "text/javascript; charset=utf-8"}, {"plain", "application/octet-stream"},
      {".css", "text/css; charset=utf-8"},          {"a.", "application/octet-stream"}};
  for (const auto& [name, type] : types) {
    http_server s(routes(folder.write(name, "x")), options());
    EXPECT_EQ(field(*sender.get(background(), s.url("/file")), "Content-Type"), type) << name;
    EXPECT_EQ(field(*sender.get(background(), s.url("/typed")), "Content-Type"), "text/x-mine");
  }
}

TEST_P(FileResponse, GivesTheRangeThatIsAskedFor) {
  const auto content = numbers(3'000'000);
  http_server s(routes(folder.write("it", content)), options());
  client sender(trusting());
  const auto ask = [&](const std::string& range) {
    auto got = sender.send(background(), request("GET", s.url("/file")).set("Range", range));
    EXPECT_TRUE(got) << got.error();
    return *std::move(got);
  };
  for (const auto& [from, size] :
       {std::pair{0UZ, 1UZ}, {7UZ, 20'000UZ}, {4097UZ, 2'000'000UZ}, {2'999'999UZ, 1UZ}}) {
    const auto last = from + size - 1;
    const auto part = ask("bytes=" + std::to_string(from) + '-' + std::to_string(last));
    EXPECT_EQ(part.status(), status::partial_content);
    EXPECT_EQ(field(part, "Content-Range"),
              "bytes " + std::to_string(from) + '-' + std::to_string(last) + "/3000000");
    EXPECT_TRUE(part.body() == content.substr(from, size)) << from;
  }
  const auto none = ask("bytes=3000000-");
  EXPECT_EQ(none.status(), status::range_not_satisfiable);
  EXPECT_EQ(field(none, "Content-Range"), "bytes */3000000");
  EXPECT_EQ(ask("bytes=1-2,5-6").status(), status::ok);
  const auto head = sender.send(background(), request("HEAD", s.url("/file")).set("Range", "bytes=0-1"));
  EXPECT_EQ(head->status(), status::ok) << "a range is for GET";
}

TEST_P(FileResponse, IsNotSentAgainToOneThatHasIt) {
  http_server s(routes(folder.write("it", "content")), options());
  client sender(trusting());
  const auto first = *sender.get(background(), s.url("/file"));
  const auto ask = [&](std::string_view name, std::string_view value) {
    return sender.send(background(), request("GET", s.url("/file")).set(name, value))->status();
  };
  EXPECT_EQ(ask("If-None-Match", field(first, "ETag")), status::not_modified);
  EXPECT_EQ(ask("If-Modified-Since", field(first, "Last-Modified")), status::not_modified);
  EXPECT_EQ(ask("If-Match", "\"another\""), status::precondition_failed);
  std::ofstream(folder / "it") << "another";  // of the same size
  std::filesystem::last_write_time(folder / "it", std::filesystem::file_time_type::clock::now() + 1s);
  EXPECT_EQ(ask("If-None-Match", field(first, "ETag")), status::ok);
}

TEST_P(FileResponse, WhatIsNotThereIsNotFound) {
  client sender(trusting());
  std::filesystem::create_directory(folder / "directory");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  for (const auto& path : {folder / "none", folder / "directory", folder / "pipe", folder / "none" + "/x",
                           folder / std::string(300, 'n'), std::string("/dev/null"), std::string()}) {
    http_server s(routes(path), options());
    const auto got = sender.get(background(), s.url("/file"));
    ASSERT_TRUE(got) << got.error();
    EXPECT_EQ(got->status(), status::not_found) << path;
  }
}

TEST_P(FileResponse, APathOfAClientStaysBelowTheFolder) {
  folder.write("secret", "secret");
  folder.write("www/a.txt", "a");
  folder.write("www/deep/b.txt", "b");
  std::filesystem::create_symlink(folder / "secret", folder / "www/out");
  std::filesystem::create_symlink("..", folder / "www/up");
  std::filesystem::create_symlink("deep/b.txt", folder / "www/in");
  http_server s(routes(folder / "secret"), options());
  client sender(trusting());
  const auto get = [&](const std::string& name) {
    const auto got = sender.get(background(), s.url("/below/" + name));
    return got->status() == status::ok ? got->body() : std::to_string(to_number(got->status()));
  };
  EXPECT_EQ(get("a.txt"), "a");
  EXPECT_EQ(get("deep%2Fb.txt"), "b");
  EXPECT_EQ(get("deep%2F..%2Fa.txt"), "a");
  EXPECT_EQ(get("in"), "b") << "a link that stays below";
  std::string absolute = folder / "secret";
  for (auto at = absolute.find('/'); at != std::string::npos; at = absolute.find('/', at))
    absolute.replace(at, 1, "%2F");
  for (const std::string& name : {std::string("..%2Fsecret"), std::string("deep%2F..%2F..%2Fsecret"),
                                  std::string("out"), std::string("up%2Fsecret"), std::string("."),
                                  std::string(".."), std::string("deep"), std::string("none"), absolute}) {
    EXPECT_EQ(get(name), "404") << name;
  }
}

TEST(FileBelow, ANulEndsNoName) {
  const own_folder folder;
  folder.write("a.txt", "a");
  const request r("GET", "/");
  EXPECT_EQ(file_below(r, folder / "", "a.txt").status(), status::ok);
  EXPECT_EQ(file_below(r, folder / "", std::string_view("a.txt\0.png", 10)).status(), status::not_found);
  EXPECT_EQ(file_below(r, folder / "none", "a.txt").status(), status::not_found);
}

TEST(FileBelow, WhatMayNotBeReadIsForbidden) {
  const own_folder folder;
  ::chmod(folder.write("a.txt", "a").c_str(), 0);
  const int was = ::setfsuid(65534);  // of this thread alone: root may read all
  const auto answer = file_below(request("GET", "/"), folder / "", "a.txt");
  ::setfsuid(static_cast<unsigned>(was));
  EXPECT_EQ(answer.status(), status::forbidden);
}

// The kernel's buffer takes less than the file: the rest waits for the client.
TEST_P(FileResponse, ASlowReaderGetsEachByteOnce) {
  const auto content = numbers(large);
  http_server s(routes(folder.write("it", content)), options());
  raw_client c(s.port(), 4096);
  secured(c);
  EXPECT_TRUE(c.get("/file").body == content);
  EXPECT_TRUE(c.get("/file").body == content) << "again, on the same connection";
}

TEST_P(FileResponse, AClientThatGoesEndsIt) {
  ends ended;
  std::optional<on_done<std::function<void()>>> watch;
  const auto path = folder.write("it", numbers(large));
  http_server s(
      [&](context ctx, const request& r) -> asio::awaitable<response> {
        watch.emplace(ctx, [&ended, ctx] { ended.add(ctx); });
        co_return file(r, path);
      },
      options());
  {
    raw_client c(s.port(), 4096);
    secured(c);
    c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    std::ignore = c.read_until("\r\n\r\n");
    c.reset();
  }
  EXPECT_EQ(ended.wait()[0].second, errc::client_gone);
  s.stop();
  watch.reset();
  EXPECT_THAT(s.complaints(), IsEmpty());
}

TEST_P(FileResponse, ItsTimeEndsIt) {
  const auto path = folder.write("it", numbers(large));
  http_server s(routes(path), options().max_request_time(200ms));
  raw_client c(s.port(), 4096);
  secured(c);
  c.send("GET /file HTTP/1.1\r\nHost: t\r\n\r\n");
  std::ignore = c.read_until("\r\n\r\n");
  std::this_thread::sleep_for(300ms);  // takes nothing
  EXPECT_FALSE(comes_whole(c));
}

TEST_P(FileResponse, AFileThatBecomesShorterCutsItOff) {
  const auto path = folder.write("it", numbers(large));
  http_server s(routes(path), options());
  raw_client c(s.port(), 4096);
  secured(c);
  c.send("GET /file HTTP/1.1\r\nHost: t\r\n\r\n");
  std::ignore = c.read_until("\r\n\r\n");
  std::filesystem::resize_file(path, 15'000'000);
  EXPECT_FALSE(comes_whole(c));
  EXPECT_TRUE(eventually([&] { return !s.complaints().empty(); }));
  EXPECT_THAT(s.complaints()[0], HasSubstr("the file " + path + " has become shorter"));
}

// sendfile() raises SIGPIPE where send() can be told not to.
TEST(FileResponseSignals, AClientThatHasGoneRaisesNone) {
  static std::atomic<int> raised = 0;
  struct sigaction counting{};
  struct sigaction was{};
  counting.sa_handler = [](int) { ++raised; };
  ::sigaction(SIGPIPE, &counting, &was);
  const own_folder folder;
  const auto path = folder.write("it", numbers(large));
  {
    http_server s([&](context, const request& r) -> asio::awaitable<response> { co_return file(r, path); });
    for (int i = 0; i < 50; ++i) {
      raw_client c(s.port(), 4096);
      c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
      std::ignore = c.read_until("\r\n\r\n");
      if (i % 2 == 0) c.reset();
    }
  }
  ::sigaction(SIGPIPE, &was, nullptr);
  EXPECT_EQ(raised, 0);
}

TEST_P(FileResponse, AnInterruptedDownloadGoesOn) {
  const auto content = numbers(5'000'000);
  http_server s(routes(folder.write("it", content)), options());
  client sender(trusting());
  cancel_scope scope = with_cancel(background());
  const auto cut = save_options().on_progress([&](save_progress now) {
    if (now.size > 1'000'000) scope.cancel();
  });
  const request what("GET", s.url("/file"));
  EXPECT_FALSE(save_file(scope.ctx(), sender, what, folder / "saved", cut));
  const auto saved = save_file(background(), sender, what, folder / "saved");
  ASSERT_TRUE(saved) << saved.error();
  EXPECT_GT(saved->resumed_at, 1'000'000U);
  std::ifstream in(folder / "saved", std::ios::binary);
  EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(in), {}) == content);
}

}  // namespace
}  // namespace curfew::http
