// Downloads that go to a file, and go on where an earlier one has stopped. Over both engines.
#include <curfew/http/save_file.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "http/both_engines.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace client_tests;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class SaveFile : public OverBothEngines {
 protected:
  SaveFile() {
    static std::atomic<int> number = 0;
    directory_ = std::filesystem::temp_directory_path() /
                 ("curfew-save-" + std::to_string(getpid()) + '-' + std::to_string(++number));
    std::filesystem::create_directories(directory_);
    path = (directory_ / "it").string();
  }
  SaveFile(const SaveFile&) = delete;
  SaveFile& operator=(const SaveFile&) = delete;
  ~SaveFile() override { std::filesystem::remove_all(directory_); }

  static std::string content_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    std::stringstream all;
    all << in.rdbuf();
    return all.str();
  }
  static void put(const std::string& file, const std::string& content) {
    std::ofstream(file, std::ios::binary) << content;
  }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& each : std::filesystem::directory_iterator(directory_))
      all.push_back(each.path().filename());
    std::ranges::sort(all);
    return all;
  }
  result<saved_file> save(const engine_peer& from, save_options options = {}) {
    return save_file(background(), sender, get_of(from.url()), path, std::move(options));
  }
  static error failure_of(result<saved_file> saved) {
    if (!saved) return saved.error();
    ADD_FAILURE() << "no error";
    return error(std::error_code());
  }
  /// Leaves a part of the file behind: `first`, of the version that the fields tell.
  void stop_after(const engine_peer& server) {
    const error why = failure_of(save(server));
    EXPECT_EQ(why, errc::truncated_body) << why;
  }

  std::string path;

 private:
  std::filesystem::path directory_;
};
CURFEW_OVER_BOTH_ENGINES(SaveFile);

constexpr const char* tag = "ETag: \"v1\"\r\n";

/// Sends "0123456789" of version v1: the first time "01234" and then the end of the connection. After that what
/// `second` answers.
peer::script in_two_parts(std::function<std::string(const std::string&)> second, std::string fields = tag) {
  return [second = std::move(second), fields = std::move(fields)](conversation& c) {
    const std::string request = c.read_request();
    if (request.find("Range:") == std::string::npos && c.number() == 1) {
      c.write("HTTP/1.1 200 OK\r\n" + fields + "Content-Length: 10\r\n\r\n01234");
    } else {
      c.write(second(request));
    }
  };
}

std::string rest(const std::string& range = "bytes 5-9/10", const std::string& body = "56789",
                 const std::string& more = tag) {
  return "HTTP/1.1 206 Partial Content\r\n" + more + "Content-Range: " + range +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST_P(SaveFile, GivesTheFileItsNameWhenItIsComplete) {
  put(path, "what was there before");
  const std::string content(700'000, 'x');
  moment half;
  moment looked;
  engine_peer server(GetParam(), [&](conversation& c) {
    c.read_request();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 700000\r\n\r\n" + content.substr(0, 1000));
    half.set();
    if (looked.wait()) c.write(content.substr(1000));
  });
  std::vector<std::uint64_t> sizes;
  bool untouched = true;
  const auto saved = save(server, save_options().sync(true).on_progress([&](save_progress now) {
    EXPECT_EQ(now.total, 700'000u);
    EXPECT_TRUE(sizes.empty() || sizes.back() < now.size);
    sizes.push_back(now.size);
    untouched = untouched && content_of(path) == "what was there before";
    looked.set();
  }));
  ASSERT_TRUE(saved) << saved.error();
  EXPECT_TRUE(half.is_set());
  EXPECT_EQ(saved->size, 700'000u);
  EXPECT_EQ(saved->resumed_at, 0u);
  EXPECT_TRUE(untouched);
  EXPECT_EQ(sizes.back(), 700'000u);
  EXPECT_TRUE(content_of(path) == content);
  EXPECT_THAT(names(), ElementsAre("it"));
}

TEST_P(SaveFile, SavesWithoutAKnownLengthAndNothingAtAll) {
  std::string body = "5\r\nhello\r\n0\r\n\r\n";
  engine_peer server(GetParam(), answering([&](const std::string&) {
                       return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
                     }));
  ASSERT_TRUE(save(server));
  EXPECT_EQ(content_of(path), "hello");
  body = "0\r\n\r\n";
  ASSERT_TRUE(save(server));
  EXPECT_EQ(content_of(path), "");
  EXPECT_THAT(names(), ElementsAre("it"));
}

TEST_P(SaveFile, GoesOnWhereItHasStopped) {
  std::string asked;
  engine_peer server(GetParam(), in_two_parts([&](const std::string& request) {
                       asked = request;
                       return rest();
                     }));
  stop_after(server);
  EXPECT_THAT(names(), ElementsAre("it.part", "it.part.from"));
  const auto saved = save(server);
  ASSERT_TRUE(saved) << saved.error();
  EXPECT_THAT(asked, HasSubstr("\r\nRange: bytes=5-\r\n"));
  EXPECT_THAT(asked, HasSubstr("\r\nIf-Range: \"v1\"\r\n"));
  EXPECT_EQ(saved->size, 10u);
  EXPECT_EQ(saved->resumed_at, 5u);
  EXPECT_EQ(content_of(path), "0123456789");
  EXPECT_THAT(names(), ElementsAre("it"));
}

TEST_P(SaveFile, GoesOnByADateIfThatIsCertain) {
  const std::string date = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n";
  std::string asked;
  engine_peer server(GetParam(), in_two_parts(
                                     [&](const std::string& request) {
                                       asked = request;
                                       return rest("bytes 5-9/10", "56789", "");
                                     },
                                     date + "Date: Tue, 02 Jan 2024 00:00:00 GMT\r\n"));
  stop_after(server);
  ASSERT_TRUE(save(server));
  EXPECT_THAT(asked, HasSubstr("\r\nIf-Range: Mon, 01 Jan 2024 00:00:00 GMT\r\n"));
  EXPECT_EQ(content_of(path), "0123456789");
}

TEST_P(SaveFile, KeepsNoPartThatCannotBeGoneOnFrom) {
  for (const char* fields :
       {"", "ETag: W/\"v1\"\r\n",
        "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"}) {
    std::string asked;
    engine_peer server(GetParam(), in_two_parts(
                                       [&](const std::string& request) {
                                         asked = request;
                                         return ok("all of it");
                                       },
                                       fields));
    std::filesystem::remove(path);
    stop_after(server);
    EXPECT_TRUE(names().empty()) << fields;
    ASSERT_TRUE(save(server));
    EXPECT_THAT(asked, Not(HasSubstr("Range:")));
    EXPECT_EQ(content_of(path), "all of it");
  }
}

TEST_P(SaveFile, KeepsNothingWhereItIsNotToGoOn) {
  engine_peer server(GetParam(), in_two_parts([](const std::string&) { return rest(); }));
  EXPECT_EQ(failure_of(save(server, save_options().resume(false))), errc::truncated_body);
  EXPECT_TRUE(names().empty());
}

TEST_P(SaveFile, BeginsAgainWhereTheFileHasChanged) {
  engine_peer server(GetParam(),
                     in_two_parts([](const std::string&) { return ok("new", "ETag: \"v2\"\r\n"); }));
  stop_after(server);
  const auto saved = save(server);
  ASSERT_TRUE(saved) << saved.error();
  EXPECT_EQ(saved->resumed_at, 0u);
  EXPECT_EQ(content_of(path), "new");
  EXPECT_THAT(names(), ElementsAre("it"));
}

TEST_P(SaveFile, DoesNotGoOnFromAnotherUrl) {
  std::string asked;
  engine_peer server(GetParam(), in_two_parts([&](const std::string& request) {
                       asked = request;
                       return ok("another");
                     }));
  stop_after(server);
  ASSERT_TRUE(save_file(background(), sender, get_of(server.url("/other")), path));
  EXPECT_THAT(asked, Not(HasSubstr("Range:")));
  EXPECT_EQ(content_of(path), "another");
}

TEST_P(SaveFile, BelievesNoRangeThatItHasNotAskedFor) {
  engine_peer* server = nullptr;
  std::string wrong;
  engine_peer made(GetParam(), in_two_parts([&](const std::string&) { return wrong; }));
  server = &made;
  stop_after(*server);
  for (const std::string& each :
       {rest("bytes 4-8/10"), rest("bytes 5-8/10", "5678"), rest("bytes 5-9/9"), rest("bytes */10"),
        rest("bytes 5-9/10", "5678"), rest("lines 5-9/10"), rest("bytes 9-5/10"),
        rest("bytes 5-9/10", "56789", "ETag: \"v2\"\r\n"),
        std::string("HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\nx")}) {
    wrong = each;
    const error why = failure_of(save(*server));
    EXPECT_EQ(why, errc::bad_response) << each;
    EXPECT_THAT(why.doing(), HasSubstr("saving " + path)) << each;
    EXPECT_EQ(content_of(path + ".part"), "01234") << each;
  }
  wrong = rest();
  ASSERT_TRUE(save(*server));
  EXPECT_EQ(content_of(path), "0123456789");
}

TEST_P(SaveFile, ARangeBeyondTheEndIsAFileThatIsCompleteOrAnother) {
  for (const bool complete : {true, false}) {
    std::filesystem::remove(path);
    engine_peer server(GetParam(), [&](conversation& c) {
      for (std::string request; !(request = c.read_request()).empty();) {
        if (request.find("Range:") != std::string::npos) {
          c.write("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */" +
                  std::string(complete ? "5" : "3") + "\r\nContent-Length: 0\r\n\r\n");
        } else if (c.number() == 1) {
          c.write(std::string("HTTP/1.1 200 OK\r\n") + tag + "Content-Length: 10\r\n\r\n01234");
          return;
        } else {
          c.write(ok("new"));
        }
      }
    });
    stop_after(server);
    const auto saved = save(server);
    ASSERT_TRUE(saved) << saved.error();
    EXPECT_EQ(content_of(path), complete ? "01234" : "new");
    EXPECT_THAT(names(), ElementsAre("it"));
  }
}

TEST_P(SaveFile, AnAnswerThatIsNoFileChangesNothing) {
  put(path, "old");
  std::string answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone";
  engine_peer server(GetParam(), in_two_parts([&](const std::string&) { return answer; }));
  stop_after(server);
  const error why = failure_of(save(server));
  EXPECT_EQ(why, std::errc::protocol_error);
  EXPECT_EQ(why.doing(),
            "GET " + server.url() + " : saving " + path + " (the answer is HTTP/1.1 404 Not Found)");
  EXPECT_EQ(content_of(path), "old");
  EXPECT_EQ(content_of(path + ".part"), "01234");
  answer = rest();
  ASSERT_TRUE(save(server));
  EXPECT_EQ(content_of(path), "0123456789");
}

TEST_P(SaveFile, ObeysTheLimit) {
  std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n0123456789a";
  engine_peer server(GetParam(), answering([&](const std::string&) { return answer; }));
  const auto limit = save_options().max_size(10);
  const error announced = failure_of(save(server, limit));
  EXPECT_EQ(announced, errc::too_large) << announced;
  answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n";
  const error sent = failure_of(save(server, limit));
  EXPECT_EQ(sent, errc::too_large) << sent;
  EXPECT_TRUE(names().empty());
  answer = ok("0123456789");
  EXPECT_TRUE(save(server, limit));
}

TEST_P(SaveFile, RefusesWhatItCannotSave) {
  engine_peer server(GetParam(),
                     answering("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"));
  EXPECT_EQ(failure_of(save(server)), errc::bad_response);
  EXPECT_EQ(failure_of(save_file(background(), sender, request("HEAD", server.url()), path)),
            std::errc::invalid_argument);
  EXPECT_EQ(failure_of(save_file(background(), sender, get_of(server.url()).set("Range", "bytes=0-1"), path)),
            std::errc::invalid_argument);
  const error nowhere = failure_of(save_file(background(), sender, get_of(server.url()), path + "/x"));
  EXPECT_EQ(nowhere, std::errc::no_such_file_or_directory);
  EXPECT_EQ(nowhere.doing(), "GET " + server.url() + " : opening " + path + "/x.part");
  EXPECT_TRUE(names().empty());
}

TEST_P(SaveFile, OneCallAtATimeSavesAFile) {
  engine_peer server(GetParam(), answering(ok("body")));
  const int other = ::open((path + ".part").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(::flock(other, LOCK_EX), 0);
  EXPECT_EQ(failure_of(save(server)), std::errc::device_or_resource_busy);
  ::close(other);
  EXPECT_TRUE(save(server));
}

TEST_P(SaveFile, TheEndOfTheContextLeavesWhatHasCome) {
  engine_peer server(GetParam(), [](conversation& c) {
    c.read_request();
    c.write(std::string("HTTP/1.1 200 OK\r\n") + tag + "Content-Length: 10\r\n\r\n01234");
    c.sees_close();
  });
  auto scope = with_cancel(background());
  const auto saved = save_file(scope, sender, get_of(server.url()), path,
                               save_options().on_progress([&](save_progress) { scope.cancel(); }));
  EXPECT_EQ(failure_of(saved), curfew::errc::canceled);
  EXPECT_EQ(content_of(path + ".part"), "01234");
  EXPECT_THAT(names(), ElementsAre("it.part", "it.part.from"));
}

TEST_P(SaveFile, ACoroutineSavesAndGoesOn) {
  engine_peer server(GetParam(), in_two_parts([](const std::string&) { return rest(); }));
  asio::io_context io;
  std::vector<std::string> outcomes;
  const auto saves = [&]() -> asio::awaitable<void> {
    for (int i = 0; i < 2; ++i) {
      auto saving = async_save_file(background(), sender, get_of(server.url()), path);
      const auto saved = co_await std::move(saving);
      outcomes.push_back(saved ? std::to_string(saved->resumed_at) : "failed");
    }
  };
  asio::co_spawn(io, saves, asio::detached);
  io.run();
  EXPECT_THAT(outcomes, ElementsAre("failed", "5"));
  EXPECT_EQ(content_of(path), "0123456789");
}

}  // namespace
}  // namespace curfew::http
