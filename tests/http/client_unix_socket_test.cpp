// A client whose requests go to a Unix socket.
#include <curfew/http/client.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/router.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/tls.hpp>
#include <curfew/tls/certificate_authority.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

namespace curfew::http {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// A server that says what it was asked for, at a Unix socket.
class local_server {
 public:
  explicit local_server(bool abstract = false, const listen_options& how = {}) {
    std::string name = (fs::temp_directory_path() / "curfew-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
    path_ = (abstract ? "@curfew-" : "") + (directory_ / "s").string();
    router routes;
    routes.get("/who", [this](context, const request& r) -> asio::awaitable<response> {
      ++asked_;
      co_return text(status::ok, r.remote() + ' ' + std::string(r.fields().find("Host").value_or("")));
    });
    routes.get("/moved", [](context, const request&) -> asio::awaitable<response> {
      co_return response(status::found).set("Location", "http://elsewhere.invalid/who");
    });
    server_.emplace(std::move(routes), server_options().listen("unix:" + path_, how));
    EXPECT_TRUE(server_->listen());
    thread_ = std::thread([this] { EXPECT_TRUE(server_->serve(until_)); });
  }
  local_server(const local_server&) = delete;
  local_server& operator=(const local_server&) = delete;
  ~local_server() {
    until_.cancel();
    thread_.join();
    fs::remove_all(directory_);
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] client_options options() const { return client_options().unix_socket(path_); }
  [[nodiscard]] int asked() const { return asked_; }

 private:
  fs::path directory_;
  std::string path_;
  std::atomic<int> asked_{0};
  cancel_scope until_ = with_cancel(background());
  std::optional<server> server_;
  std::thread thread_;
};

TEST(ClientAtAUnixSocket, SendsThereWhateverHostTheUrlNames) {
  const local_server there;
  client sender(there.options());
  for (const std::string host : {"localhost", "shop.invalid", "192.0.2.1:81"}) {
    const auto answer = sender.send(background(), request("GET", "http://" + host + "/who"));
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_EQ(answer->body(), "unix: " + host);
  }
  EXPECT_EQ(there.asked(), 3);
}

TEST(ClientAtAUnixSocket, TakesAnAbstractName) {
  const local_server there(true);
  client sender(there.options());
  const auto answer = sender.send(background(), request("GET", "http://localhost/who"));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "unix: localhost");
}

TEST(ClientAtAUnixSocket, ARedirectStaysThere) {
  const local_server there;
  client sender(there.options());
  const auto answer = sender.send(background(), request("GET", "http://localhost/moved"));
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "unix: elsewhere.invalid");
}

TEST(ClientAtAUnixSocket, SaysWhichSocketIsNotThere) {
  client sender(client_options().unix_socket("/nowhere/s"));
  const auto answer = sender.send(background(), request("GET", "http://localhost/"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), errc::connection_refused);
  EXPECT_TRUE(answer.error().transient());
  EXPECT_THAT(answer.error().message(), HasSubstr("/nowhere/s: No such file or directory"));
}

TEST(ClientAtAUnixSocket, RefusesWhatCannotBeOne) {
  for (const auto& path : {std::string(200, 'x'), std::string("@"), std::string("/a\0b", 4)}) {
    client sender(client_options().unix_socket(path));
    const auto answer = sender.send(background(), request("GET", "http://localhost/"));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error(), std::errc::invalid_argument);
  }
}

/// It has a certificate for shop.test.
class ClientAtAUnixSocketOverTls : public ::testing::Test {
 protected:
  [[nodiscard]] listen_options encrypted() const {
    const auto shop = ca.issue({"shop.test"});
    const auto certificates =
        tls_server::load(tls_server_options().certificate(shop.chain_file(), shop.key_file()));
    return listen_options().tls(certificates.value());
  }

  const curfew::testing::certificate_authority ca;
  const local_server there{false, encrypted()};
  client sender{there.options().ca_file(ca.root_file())};
};

TEST_F(ClientAtAUnixSocketOverTls, TheCertificateHasToBeForTheHostOfTheUrl) {
  const auto answer = sender.get(background(), "https://shop.test/who");
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body(), "unix: shop.test");
  const auto other = sender.get(background(), "https://other.test/who");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error(), errc::tls_failure);
  EXPECT_EQ(there.asked(), 1);
}

TEST_F(ClientAtAUnixSocketOverTls, ARedirectFromHttpsToHttpIsNotFollowed) {
  const auto answer = sender.get(background(), "https://shop.test/moved");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), errc::redirect_refused);
  EXPECT_THAT(answer.error().message(), HasSubstr("it leads from https:// to http://"));
  EXPECT_EQ(there.asked(), 0);
}

}  // namespace
}  // namespace curfew::http
