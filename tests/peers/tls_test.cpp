// The server over TLS, called by openssl and curl; which versions and ciphers it speaks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <curfew/http/errc.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/tls.hpp>
#include <curfew/tls/certificate_authority.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "peers/own_server.hpp"
#include "peers/tls.hpp"
#include "program.hpp"

namespace curfew::http {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using tests::find_program;
using tests::own_folder;
using tests::own_server;
using tests::program;
using tests::test_tls;

constexpr std::string_view get_hello = "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// openssl as a client that trusts the authority and looks at the name.
std::vector<std::string> s_client(const own_server& server, std::vector<std::string> arguments) {
  std::vector<std::string> command{
      find_program("openssl"), "s_client",         "-connect",
      server.address(),        "-CAfile",          test_tls::shared().ca.root_file(),
      "-verify_return_error",  "-verify_hostname", "localhost",
      "-servername",           "localhost",        "-ign_eof"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

/// curl that says nothing but the answer, and its complaints.
std::vector<std::string> curl(std::vector<std::string> arguments) {
  std::vector<std::string> command{
      find_program("curl"), "-sSq", "--noproxy", "*",
      "--max-time",         "30",   "--cacert",  test_tls::shared().ca.root_file()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

/// So that a letter at the start of what it reads is a command.
std::vector<std::string> commanding(std::vector<std::string> client) {
  std::erase(client, "-ign_eof");
  client.insert(client.begin(), {"/bin/sh", "-c", "exec \"$@\" 2>&1", "sh"});  // it says there what it does
  return client;
}

void wait_for(program& client, std::string_view line) {
  while (client.read_line() != line) {
  }
}

int count(std::string_view in, std::string_view what) {
  int found = 0;
  for (std::size_t at = 0; (at = in.find(what, at)) != std::string_view::npos; at += what.size()) ++found;
  return found;
}

TEST(OpensslClient, SpeaksBothVersions) {
  CURFEW_NEEDS_PROGRAMS("openssl");
  const own_server server(true);
  for (const std::string version : {"1.2", "1.3"}) {
    const auto said = tests::run(s_client(server, {version == "1.2" ? "-tls1_2" : "-tls1_3"}), get_hello);
    EXPECT_EQ(said.code, 0);
    EXPECT_THAT(said.text, AllOf(HasSubstr("New, TLSv" + version), HasSubstr("Verify return code: 0 (ok)"),
                                 HasSubstr("\r\n\r\nhello\n"), HasSubstr("Compression: NONE")));
  }
}

TEST(OpensslClient, IsRefusedBelowVersion12) {
  CURFEW_NEEDS_PROGRAMS("openssl");
  const own_server server(true);
  for (const char* version : {"-tls1", "-tls1_1"}) {
    const auto said = tests::run(s_client(server, {version, "-cipher", "ALL:@SECLEVEL=0"}), get_hello);
    EXPECT_NE(said.code, 0) << version;
    EXPECT_THAT(said.text, Not(HasSubstr("hello\n"))) << version;
  }
}

TEST(OpensslClient, ResumesItsSessions) {
  CURFEW_NEEDS_PROGRAMS("openssl");
  const own_server server(true);
  const auto reconnected = tests::run(s_client(server, {"-tls1_2", "-reconnect"}), get_hello);
  EXPECT_EQ(reconnected.code, 0);
  EXPECT_EQ(count(reconnected.text, "New, TLSv1.2"), 1) << reconnected.text;
  EXPECT_GE(count(reconnected.text, "Reused, TLSv1.2"), 5);

  const own_folder folder;
  const std::string session = folder / "session";
  std::ignore = tests::run(s_client(server, {"-tls1_3", "-sess_out", session}), get_hello);
  const auto resumed = tests::run(s_client(server, {"-tls1_3", "-sess_in", session}), get_hello);
  EXPECT_THAT(resumed.text, AllOf(HasSubstr("Reused, TLSv1.3"), HasSubstr("\r\n\r\nhello\n")));
}

TEST(OpensslClient, MaySendNoEarlyData) {
  CURFEW_NEEDS_PROGRAMS("openssl");
  const own_server server(true);
  const own_folder folder;
  const std::string session = folder / "session";
  const auto first = tests::run(s_client(server, {"-tls1_3", "-sess_out", session}), get_hello);
  EXPECT_THAT(first.text, HasSubstr("Max Early Data: 0"));
  const std::string early = folder.write("early", get_hello);
  const auto said =
      tests::run(s_client(server, {"-tls1_3", "-sess_in", session, "-early_data", early}), get_hello);
  EXPECT_THAT(said.text, AllOf(HasSubstr("Early data was not sent"), HasSubstr("\r\n\r\nhello\n")));
  EXPECT_EQ(count(said.text, "HTTP/1.1 200 OK"), 1);
}

TEST(OpensslClient, MayNotRenegotiate) {
  CURFEW_NEEDS_PROGRAMS("openssl");
  const own_server server(true);
  program client(commanding(s_client(server, {"-tls1_2"})));
  client.write("R\n");
  wait_for(client, "RENEGOTIATING");
  EXPECT_NE(client.read_all(), "");  // and is gone
  EXPECT_NE(client.wait(), 0);
}

TEST(OpensslClient, MayChangeItsKeysAndAskTheServerTo) {
  CURFEW_NEEDS_PROGRAMS("openssl");
  const own_server server(true);
  program client(commanding(s_client(server, {"-tls1_3"})));
  for (const char* each : {"K\n", "k\n", "K\n"}) {  // with a request, and without
    client.write(each);
    wait_for(client, "KEYUPDATE");
  }
  client.write(get_hello);
  EXPECT_THAT(client.read_all(), HasSubstr("\r\n\r\nhello\n"));
}

TEST(OpensslClient, ThatIsKilledEndsTheContext) {
  CURFEW_NEEDS_PROGRAMS("openssl");
  for (const char* version : {"-tls1_2", "-tls1_3"}) {
    for (const std::string path : {"/wait", "/hold", "/endless"}) {
      own_server server(true);
      program caller(s_client(server, {version, "-quiet"}));
      caller.write("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
      ASSERT_TRUE(server.has_begun());
      caller.kill(SIGKILL);
      EXPECT_EQ(server.end(), errc::client_gone) << path;
    }
  }
}

TEST(CurlOverTls, KeepsItsConnectionAndUploads) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server(true);
  const own_folder folder;
  const std::string body(1'500'000, 'b');
  const std::string file = folder.write("body", body);
  for (const char* version : {"1.2", "1.3"}) {
    const std::string remote = server.url("/remote");
    const auto kept = tests::run(
        curl({"--tls-max", version, "-w", " %{num_connects}\n", remote, server.url("/stream"), remote}));
    EXPECT_EQ(kept.code, 0) << kept.text;
    const std::string first = kept.text.substr(0, kept.text.find(' '));
    EXPECT_EQ(kept.text, first + " 1\n" + tests::streamed_text() + " 0\n" + first + " 0\n");
    for (const char* expect : {"Expect:", "Expect: 100-continue"}) {
      const auto echoed =
          tests::run(curl({"--tls-max", version, "-H", expect, "-T", file, server.url("/echo")}));
      EXPECT_EQ(echoed.code, 0);
      EXPECT_TRUE(echoed.text == body) << echoed.text.size();
    }
  }
}

TEST(CurlOverTls, ReadsUntilTheCloseNotify) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server(true);
  for (const char* version : {"1.2", "1.3"}) {
    const auto said = tests::run(curl({"--http1.0", "--tls-max", version, server.url("/stream")}));
    EXPECT_EQ(said.code, 0) << "an end without it is an error";
    EXPECT_EQ(said.text, tests::streamed_text());
  }
}

TEST(CurlOverTls, ReadsTheEarlyAnswerToAnUpload) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server(true);
  const own_folder folder;
  const std::string file = folder.write("body", std::string(own_server::max_body * 4, 'b'));
  for (const char* path : {"/echo", "/refuse"}) {
    const auto said = tests::run(curl({"-H", "Expect:", "-o", folder / "answer", "-w", "%{http_code}", "-F",
                                       "file=@" + file, server.url(path)}));
    EXPECT_THAT(said.text, HasSubstr("413")) << path;
  }
}

TEST(CurlOverTls, ChecksTheCertificate) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server(true);
  const std::string pin = "sha256//" + test_tls::shared().server.key_pin().substr(7);
  EXPECT_EQ(tests::run(curl({"--pinnedpubkey", pin, server.url("/hello")})).text, "hello\n");
  const testing::certificate_authority stranger;
  EXPECT_EQ(tests::run(curl({"--cacert", stranger.root_file(), server.url("/hello")})).code, 60);
  const std::string elsewhere = "other.test:" + std::to_string(server.port());
  EXPECT_EQ(
      tests::run(curl({"--connect-to", elsewhere + ":127.0.0.1:", "https://" + elsewhere + "/hello"})).code,
      60);
  const std::string named = "localhost:" + std::to_string(server.port());
  EXPECT_EQ(tests::run(curl({"--connect-to", named + ":127.0.0.1:", "https://" + named + "/hello"})).text,
            "hello\n");
}

TEST(CurlOverTls, ShowsItsOwnCertificate) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const auto& ca = test_tls::shared().ca;
  const auto worker = ca.issue({"worker"}, testing::certificate_options().for_client());
  tls_server_options files;
  files.client_certificates(client_certificates::required, ca.root_file());
  const own_server server(own_server::over_tls(files));
  for (const char* version : {"1.2", "1.3"}) {
    const auto shown = tests::run(curl({"--tls-max", version, "--cert", worker.chain_file(), "--key",
                                        worker.key_file(), server.url("/hello")}));
    EXPECT_EQ(shown.text, "hello\n");
    EXPECT_NE(tests::run(curl({"--tls-max", version, server.url("/hello")})).code, 0);
    const testing::certificate_authority stranger;
    const auto other = stranger.issue({"worker"}, testing::certificate_options().for_client());
    EXPECT_NE(tests::run(curl({"--tls-max", version, "--cert", other.chain_file(), "--key", other.key_file(),
                               server.url("/hello")}))
                  .code,
              0);
  }
}

TEST(CurlOverTls, ThatIsKilledEndsTheContext) {
  CURFEW_NEEDS_PROGRAMS("curl");
  for (const char* path : {"/wait", "/hold", "/endless"}) {
    for (const int signal : {SIGINT, SIGKILL}) {
      own_server server(true);
      program caller(curl({"-o", "/dev/null", server.url(path)}));
      ASSERT_TRUE(server.has_begun());
      caller.kill(signal);
      EXPECT_EQ(server.end(), errc::client_gone) << path << ' ' << signal;
    }
  }
}

TEST(CurlOverTls, IsToldWhenItForgetsTheS) {
  CURFEW_NEEDS_PROGRAMS("curl");
  const own_server server(true);
  const auto said = tests::run(curl({"-w", "%{http_code}", "http://" + server.address() + "/hello"}));
  EXPECT_EQ(said.code, 0);
  EXPECT_THAT(said.text, AllOf(HasSubstr("https"), EndsWith("400")));
}

/// Tries a handshake that offers this alone. \return the cipher it came to; empty: none.
std::string offered(const own_server& server, int version, const std::string& cipher) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free);
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_min_proto_version(context.get(), version);
  SSL_CTX_set_max_proto_version(context.get(), version);
  if (version < TLS1_3_VERSION &&
      SSL_CTX_set_cipher_list(context.get(), (cipher + ":@SECLEVEL=0").c_str()) != 1)
    return {};
  if (version == TLS1_3_VERSION && SSL_CTX_set_ciphersuites(context.get(), cipher.c_str()) != 1) return {};
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), &SSL_free);
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(server.port());
  EXPECT_EQ(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  SSL_set_fd(ssl.get(), socket);
  std::string spoken = SSL_connect(ssl.get()) == 1 ? SSL_get_cipher_name(ssl.get()) : "";
  ::close(socket);
  return spoken;
}

TEST(OwnServer, SpeaksOnlyCiphersThatAuthenticateAndForgetTheirKeys) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL's, as a client
  const auto& ca = test_tls::shared().ca;
  const auto rsa = ca.issue({"localhost"}, testing::certificate_options().rsa());
  const auto loaded = tls_server::load(tls_server_options().certificate(rsa.chain_file(), rsa.key_file()));
  ASSERT_TRUE(loaded) << loaded.error();
  const own_server with_ec(true);
  const own_server with_rsa(server_options().listen("127.0.0.1:0", listen_options().tls(*loaded)));

  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> all(SSL_CTX_new(TLS_client_method()),
                                                              &SSL_CTX_free);
  ASSERT_EQ(SSL_CTX_set_cipher_list(all.get(), "ALL:COMPLEMENTOFALL:@SECLEVEL=0"), 1);
  int strong = 0;
  const auto* ciphers = SSL_CTX_get_ciphers(all.get());
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
    const SSL_CIPHER* each = sk_SSL_CIPHER_value(ciphers, i);
    const std::string name = SSL_CIPHER_get_name(each);
    const bool is_13 = std::string_view(SSL_CIPHER_get_version(each)) == "TLSv1.3";
    const bool forgets = is_13 || name.starts_with("ECDHE-");
    const bool good =
        SSL_CIPHER_is_aead(each) == 1 && forgets && SSL_CIPHER_get_auth_nid(each) != NID_auth_null;
    for (const own_server* server : {&with_ec, &with_rsa}) {
      const std::string spoken = offered(*server, is_13 ? TLS1_3_VERSION : TLS1_2_VERSION, name);
      if (!good) {
        EXPECT_EQ(spoken, "");
      }
      strong += spoken.empty() ? 0 : 1;
    }
  }
  EXPECT_GE(strong, 8) << "three of TLS 1.2 for each kind of key, and those of TLS 1.3";
}

}  // namespace
}  // namespace curfew::http
