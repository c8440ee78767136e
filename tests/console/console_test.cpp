#include <curfew/console/console.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <curfew/core.hpp>
#include <curfew/core/detail/unseen.hpp>
#include <curfew/inspect.hpp>
#include <string>
#include <system_error>

#include "console/dump.hpp"
#include "http/raw_client.hpp"
#include "http/waiting.hpp"

namespace curfew::inspect {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using tests::eventually;
using tests::raw_client;

constexpr task_kind digging{"dig"};

std::uint16_t port_of(const console& c) {
  const auto url = c.url();
  return static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
}

std::string get(raw_client client, const std::string& target) {
  client.send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  return client.read_response().body;
}

TEST(Console, AnswersOnAThreadOfItsOwnUntilItIsDestroyed) {
  std::uint16_t port = 0;
  {
    const inspection on;
    const console shown(background(), "127.0.0.1:0");
    port = port_of(shown);
    EXPECT_THAT(get(raw_client(port), "/"), HasSubstr("<html"));
    EXPECT_TRUE(json::parse(get(raw_client(port), "/totals")).at("totals").is_object());
    raw_client watching(port);  // does not hold the end up
    watching.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    watching.read_until("event: look");
  }
  EXPECT_THROW(raw_client{port}, std::system_error);
}

TEST(Console, ListensAtAUnixSocket) {
  const auto name = "@curfew-console-test-" + std::to_string(::getpid());
  const console shown(background(), "unix:" + name);
  EXPECT_EQ(shown.url(), "");
  EXPECT_EQ(shown.addresses(), std::vector<std::string>{"unix:" + name});
  EXPECT_TRUE(json::parse(get(raw_client::local(name), "/about")).is_object());
}

TEST(Console, SaysWhyItCannotListen) {
  const console first(background(), "127.0.0.1:0");
  const auto taken = "127.0.0.1:" + std::to_string(port_of(first));
  EXPECT_THROW(console(background(), taken), std::system_error);
  EXPECT_THROW(console(background(), "nowhere"), std::system_error);
}

TEST(Console, ItsOwnWorkIsNotSeen) {
  const auto begun = std::chrono::nanoseconds(clock::now().time_since_epoch()).count();
  const inspection on;
  const task unseen(with_value(background(), detail::unseen_tasks, true), digging, "unseen");
  const console shown(background(), "127.0.0.1:0");
  const auto port = port_of(shown);
  get(raw_client(port), "/totals");
  EXPECT_EQ(json::parse(get(raw_client(port), "/tasks")).at("seen"), 0);
  EXPECT_EQ(json::parse(get(raw_client(port), "/totals")).at("totals").at("open"), 0);
  const auto ended = json::parse(get(raw_client(port), "/ended?most=1000"));
  for (const auto& each : ended.at("ended").as_array()) {  // those of other tests are from before
    EXPECT_LT(each.at("opened_ns").as_int64(), begun) << each;
  }
}

TEST(Console, ItsOwnWorkIsSeenWhereThatIsAsked) {
  const inspection on;
  const console shown(background(), "127.0.0.1:0", console_options().show_own(true));
  const auto port = port_of(shown);
  EXPECT_THAT(get(raw_client(port), "/tasks"), HasSubstr("GET /tasks"));
  get(raw_client(port), "/totals?secret");
  const auto ended = get(raw_client(port), "/ended?most=1000");
  EXPECT_THAT(ended, HasSubstr("GET /totals"));
  EXPECT_THAT(ended, ::testing::Not(HasSubstr("secret")));
}

/// What a file descriptor gets while this lives.
class redirected {
 public:
  explicit redirected(int fd) : fd_(fd), before_(::dup(fd)) {
    if (::pipe(pipe_) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    ::dup2(pipe_[1], fd);
  }
  ~redirected() {
    ::dup2(before_, fd_);
    for (const int each : {before_, pipe_[0], pipe_[1]}) ::close(each);
  }
  redirected(const redirected&) = delete;
  redirected& operator=(const redirected&) = delete;

  std::string read_until(std::string_view mark) {
    std::string text;
    char bytes[4096];
    pollfd ready{pipe_[0], POLLIN, 0};
    while (!text.contains(mark) && ::poll(&ready, 1, 20'000) > 0) {
      const auto n = ::read(pipe_[0], bytes, sizeof bytes);
      if (n <= 0) break;
      text.append(bytes, static_cast<std::size_t>(n));
    }
    return text;
  }

 private:
  int fd_;
  int before_;
  int pipe_[2];
};

TEST(Console, DumpsTheTasksOnSigusr1) {
  const inspection on(inspection_options().zombie_after(1ms).on_zombie([](const task_info&) {}));
  auto scope = with_cancel(background());
  const task undead(scope, digging, "undead\x1b[2J");
  const task living(background(), digging, "living");
  scope.cancel(cause("enough"));
  ASSERT_TRUE(eventually([] { return !zombies().empty(); }));
  struct sigaction before{};
  ::sigaction(SIGUSR1, nullptr, &before);
  {
    const console shown(background(), "127.0.0.1:0", console_options().dump_on_sigusr1(true));
    EXPECT_THROW(console(background(), "127.0.0.1:0", console_options().dump_on_sigusr1(true)),
                 std::system_error);
    std::string text;
    {
      redirected err(STDERR_FILENO);
      ::kill(::getpid(), SIGUSR1);
      text = err.read_until("living");
    }
    const auto zombie = text.find("zombie  ");
    ASSERT_NE(zombie, std::string::npos) << text;
    EXPECT_THAT(text, HasSubstr(R"(dig "undead\x1b[2J")"));
    EXPECT_THAT(text, HasSubstr("ago: enough"));
    EXPECT_LT(zombie, text.find("living")) << "the most urgent first";
    EXPECT_THAT(text, HasSubstr("console_test.cpp:"));
  }
  struct sigaction after{};
  ::sigaction(SIGUSR1, nullptr, &after);
  EXPECT_EQ(after.sa_handler, before.sa_handler);
  const console again(background(), "127.0.0.1:0", console_options().dump_on_sigusr1(true));
}

}  // namespace
}  // namespace curfew::inspect
