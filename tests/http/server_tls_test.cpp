// The server over TLS: what the handshake decides, and what reaches handlers. How clients go is in disconnect_table_test.cpp.
// Long, since it is a list: certificates, clients, sessions, ends and bodies, one fact a test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <curfew/core.hpp>
#include <curfew/http/errc.hpp>
#include <curfew/http/server.hpp>
#include <curfew/http/testing.hpp>
#include <curfew/http/tls.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/tls/certificate_authority.hpp>
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

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using curfew::testing::certificate_authority;
using curfew::testing::certificate_options;
using curfew::testing::http_server;
using curfew::testing::test_certificate;
using curfew::testing::validity;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using tests::ends;
using tests::event;
using tests::eventually;
using tests::numbers;
using tests::raw_client;
using tests::secure;
using tests::tls_client_options;
using tests::tls_layer;

tls_client_options version(int v) {
  tls_client_options made;
  made.version = v;
  return made;
}

tls_server load(const tls_server_options& options) {
  auto made = tls_server::load(options);
  if (!made) throw std::runtime_error(made.error().message());
  return *made;
}

server_options listening(const tls_server& tls) {
  return server_options().listen("127.0.0.1:0", listen_options().tls(tls));
}

void copy(const std::string& from, const std::string& over) {
  std::filesystem::copy_file(from, over, std::filesystem::copy_options::overwrite_existing);
}

/// Tells what a handler sees: "https alice 127.0.0.1".
asio::awaitable<response> tell(context, const request& r) {
  std::string seen(r.client_scheme());
  seen += r.client_certificate() != nullptr ? " " + r.client_certificate()->subject : " nobody";
  seen += ' ';
  seen += r.client_address();
  co_return text(status::ok, std::move(seen));
}

asio::awaitable<response> echo(context, const request& r) { co_return text(status::ok, r.body()); }

class ServerTls : public ::testing::Test {
 protected:
  [[nodiscard]] tls_server_options files() const {
    return tls_server_options().certificate(localhost.chain_file(), localhost.key_file());
  }
  static router routes() {
    router made;
    made.get("/", tell).post("/echo", echo, route_options().max_body_size(8U << 20));
    made.get("/large", [](context, const request&) -> asio::awaitable<response> {
      co_return text(status::ok, std::string(large, 'x'));
    });
    return made;
  }

  static constexpr std::size_t large = 3'000'000;
  certificate_authority ca;
  test_certificate localhost = ca.issue({"localhost", "127.0.0.1"});
};

/// The handshake, and the answer to a request behind it; or why there is none.
std::string try_it(std::uint16_t port, const tls_client_options& how, tests::session_ptr* session = nullptr) {
  raw_client client(port);
  auto made = std::make_unique<tls_layer>(client.socket(), how);
  tls_layer& tls = *made;
  if (auto failure = tls.handshake(); !failure.empty()) return failure;
  client.put(std::move(made));
  try {
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    auto answer = client.read_response();
    if (session != nullptr) *session = tls.take_session();
    return answer.body + (tls.resumed() ? " resumed" : "");
  } catch (const std::exception& e) {
    return tls.failure().empty() ? e.what() : tls.failure();
  }
}

TEST_F(ServerTls, AnswersByEachVersion) {
  http_server s(routes(), listening(load(files())));
  EXPECT_THAT(s.url("/x"), StartsWith("https://127.0.0.1:"));
  for (const int v : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    tls_client_options how = version(v);
    how.trusted = ca.root_file();
    raw_client client(s.port());
    tls_layer& tls = secure(client, how);
    EXPECT_EQ(SSL_version(tls.ssl()), v);
    EXPECT_EQ(client.get("/").body, "https nobody 127.0.0.1");
    EXPECT_EQ(client.get("/large").body.size(), large);
    EXPECT_EQ(client.get("/", "Connection: close\r\n").status, 200);
    EXPECT_TRUE(client.is_closed()) << "with close_notify";
  }
  EXPECT_TRUE(s.complaints().empty());
}

TEST_F(ServerTls, PlainAndEncryptedAddressesAreServedSideBySide) {
  auto options = listening(load(files()));
  options.also_listen("127.0.0.1:0");
  http::server s(routes(), options);
  ASSERT_TRUE(s.listen());
  auto until = with_cancel(background());
  std::thread serving([&] { EXPECT_TRUE(s.serve(until)); });
  const auto plain = s.addresses()[1];
  raw_client one(static_cast<std::uint16_t>(std::stoi(plain.substr(plain.find(':') + 1))));
  EXPECT_EQ(one.get("/").body, "http nobody 127.0.0.1");
  EXPECT_EQ(try_it(s.port(), {}), "https nobody 127.0.0.1");
  until.cancel();
  serving.join();
}

TEST_F(ServerTls, TheNameChoosesTheCertificate) {
  const auto one = ca.issue({"one.test", "also.one.test"});
  const auto wild = ca.issue({"*.two.test"});
  auto options = files();
  options.certificate(one.chain_file(), one.key_file()).certificate(wild.chain_file(), wild.key_file());
  http_server s(routes(), listening(load(options)));
  constexpr std::array<std::pair<const char*, const char*>, 9> table{{
      {"localhost", "localhost"},
      {"one.test", "one.test"},
      {"ONE.test", "one.test"},
      {"also.one.test", "one.test"},
      {"x.two.test", "*.two.test"},
      {"two.test", "localhost"},      // the wildcard is for what is below
      {"y.x.two.test", "localhost"},  // by one level
      {"unknown.test", "localhost"},
      {"", "localhost"},
  }};
  for (const auto& [asked, shown] : table) {
    for (const int v : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      tls_client_options how = version(v);
      how.name = asked;
      raw_client client(s.port());
      EXPECT_EQ(secure(client, how).server_name(), shown) << asked;
      EXPECT_EQ(client.get("/").status, 200);
    }
  }
}

TEST_F(ServerTls, ARequiredCertificateIsSeenByTheHandler) {
  const auto alice =
      ca.issue({"alice", "alice@example.test", "spiffe://test/alice"}, certificate_options().for_client());
  const certificate_authority strangers;
  const auto mallory = strangers.issue({"alice"}, certificate_options().for_client());
  const auto late = ca.issue({"alice"}, certificate_options().for_client().valid(validity::expired));
  router all = routes();
  all.get("/who", [](context, const request& r) -> asio::awaitable<response> {
    const auto& c = *r.client_certificate();
    EXPECT_THAT(c.subject, HasSubstr("CN=alice"));
    EXPECT_THAT(c.dns, ElementsAre("alice"));
    EXPECT_THAT(c.emails, ElementsAre("alice@example.test"));
    EXPECT_THAT(c.uris, ElementsAre("spiffe://test/alice"));
    EXPECT_EQ(c.sha256.size(), 64u);
    EXPECT_EQ(c.sha256.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_GT(c.not_after, std::chrono::system_clock::now() + 24h);
    co_return text(status::ok, "seen");
  });
  http_server s(all,
                listening(load(files().client_certificates(client_certificates::required, ca.root_file()))));
  for (const int v : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    tls_client_options how = version(v);
    EXPECT_THAT(try_it(s.port(), how),
                AnyOf(HasSubstr("certificate required"), HasSubstr("handshake failure")));
    how.certificate = &mallory;
    EXPECT_THAT(try_it(s.port(), how), HasSubstr("unknown ca"));
    how.certificate = &late;
    EXPECT_THAT(try_it(s.port(), how), HasSubstr("certificate expired"));
    how.certificate = &localhost;
    EXPECT_THAT(try_it(s.port(), how), HasSubstr("alert")) << "a server's";
    how.certificate = &alice;
    raw_client client(s.port());
    secure(client, how);
    EXPECT_EQ(client.get("/who").body, "seen");
    EXPECT_EQ(client.get("/who").body, "seen") << "each request has it";
  }
}

TEST_F(ServerTls, AnOptionalCertificateMayBeMissing) {
  const auto alice = ca.issue({"alice"}, certificate_options().for_client());
  const certificate_authority strangers;
  const auto mallory = strangers.issue({"alice"}, certificate_options().for_client());
  http_server s(routes(),
                listening(load(files().client_certificates(client_certificates::optional, ca.root_file()))));
  for (const int v : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    tls_client_options how = version(v);
    EXPECT_EQ(try_it(s.port(), how), "https nobody 127.0.0.1");
    how.certificate = &alice;
    EXPECT_THAT(try_it(s.port(), how), HasSubstr("CN=alice"));
    how.certificate = &mallory;
    EXPECT_THAT(try_it(s.port(), how), HasSubstr("unknown ca"));
  }
}

TEST_F(ServerTls, ASessionIsResumedWithItsClientsCertificate) {
  const auto alice = ca.issue({"alice"}, certificate_options().for_client());
  tls_server tls = load(files().client_certificates(client_certificates::required, ca.root_file()));
  http_server s(routes(), listening(tls));
  for (const int v : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    tls_client_options how = version(v);
    how.certificate = &alice;
    tests::session_ptr session;
    EXPECT_THAT(try_it(s.port(), how, &session), HasSubstr("CN=alice"));
    ASSERT_TRUE(session);
    how.certificate = nullptr;
    how.session = session.get();
    tests::session_ptr next;
    EXPECT_THAT(try_it(s.port(), how, &next), AllOf(HasSubstr("CN=alice"), HasSubstr("resumed")));
    ASSERT_TRUE(tls.reload());  // nothing has changed
    if (next) how.session = next.get();
    EXPECT_THAT(try_it(s.port(), how), AllOf(HasSubstr("CN=alice"), HasSubstr("resumed")));
  }
}

TEST_F(ServerTls, WithoutTicketsNothingIsResumed) {
  http_server s(routes(), listening(load(files().tickets(false))));
  for (const int v : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    tls_client_options how = version(v);
    tests::session_ptr session;
    EXPECT_EQ(try_it(s.port(), how, &session), "https nobody 127.0.0.1");
    if (v == TLS1_3_VERSION) {
      EXPECT_FALSE(session);
    }
    how.session = session.get();
    EXPECT_EQ(try_it(s.port(), how), "https nobody 127.0.0.1");
  }
}

// The policy for clients changes while the certificate stays: what was begun under the old one must not go on.
TEST_F(ServerTls, ASessionOfAnotherPolicyIsNotResumed) {
  const certificate_authority others;
  const auto alice = ca.issue({"alice"}, certificate_options().for_client());
  const std::string trusted = ca.directory() + "/clients.pem";
  copy(ca.root_file(), trusted);
  tls_server tls = load(files().client_certificates(client_certificates::required, trusted));
  http_server s(routes(), listening(tls));
  http_server other(
      routes(),
      listening(load(files().client_certificates(client_certificates::required, others.root_file()))));
  http_server lax(routes(),
                  listening(load(files().client_certificates(client_certificates::optional, trusted))));
  for (const int v : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    copy(ca.root_file(), trusted);
    ASSERT_TRUE(tls.reload());
    tls_client_options how = version(v);
    tests::session_ptr of_nobody;
    EXPECT_EQ(try_it(lax.port(), how, &of_nobody), "https nobody 127.0.0.1");
    ASSERT_TRUE(of_nobody);
    how.certificate = &alice;
    tests::session_ptr session;
    EXPECT_THAT(try_it(s.port(), how, &session), HasSubstr("CN=alice"));
    ASSERT_TRUE(session);
    how.session = session.get();
    EXPECT_THAT(try_it(other.port(), how), HasSubstr("unknown ca"));
    how.session = of_nobody.get();
    how.certificate = nullptr;
    EXPECT_THAT(try_it(s.port(), how), HasSubstr("alert"));

    copy(others.root_file(), trusted);
    ASSERT_TRUE(tls.reload());
    how.session = session.get();
    how.certificate = &alice;
    EXPECT_THAT(try_it(s.port(), how), HasSubstr("unknown ca"));
  }
}

TEST_F(ServerTls, AReloadIsForNewConnections) {
  const auto next = ca.issue({"next.test"});
  const std::string chain = ca.directory() + "/chain.pem";
  const std::string key = ca.directory() + "/key.pem";
  copy(localhost.chain_file(), chain);
  copy(localhost.key_file(), key);
  tls_server tls = load(tls_server_options().certificate(chain, key));
  http_server s(routes(), listening(tls));
  raw_client before(s.port());
  EXPECT_EQ(secure(before).server_name(), "localhost");
  EXPECT_EQ(before.get("/").status, 200);

  copy(next.chain_file(), chain);  // and not yet its key
  const auto half = tls.reload();
  ASSERT_FALSE(half);
  EXPECT_EQ(half.error(), errc::tls_failure);
  EXPECT_THAT(half.error().message(), AllOf(HasSubstr(key), HasSubstr(chain), HasSubstr("does not belong")));
  raw_client meanwhile(s.port());
  EXPECT_EQ(secure(meanwhile).server_name(), "localhost") << "the old one stays";

  copy(next.key_file(), key);
  ASSERT_TRUE(tls.reload());
  raw_client after(s.port());
  EXPECT_EQ(secure(after).server_name(), "next.test");
  for (raw_client* each : {&before, &meanwhile, &after}) EXPECT_EQ(each->get("/").status, 200);
}

TEST_F(ServerTls, ReloadsAndHandshakesMayMeet) {
  tls_server tls = load(files());
  http_server s(routes(), listening(tls).threads(2));
  std::atomic<bool> over = false;
  std::thread reloading([&] {
    while (!over) EXPECT_TRUE(tls.reload());
  });
  for (int i = 0; i < 50; ++i) EXPECT_EQ(try_it(s.port(), {}), "https nobody 127.0.0.1");
  over = true;
  reloading.join();
}

TEST_F(ServerTls, ErrorsNameTheFileAndWhatIsWrong) {
  const auto second = ca.issue({"second.test"});
  const std::string garbage = ca.directory() + "/garbage.pem";
  std::ofstream(garbage) << "no PEM\n";
  const std::string broken = ca.directory() + "/broken.pem";
  std::ofstream(broken) << localhost.chain_pem()
                        << "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const std::string none = ca.directory() + "/none.pem";
  const auto message = [](const tls_server_options& options) {
    const auto loaded = tls_server::load(options);
    return loaded ? std::string("none") : loaded.error().message();
  };
  const auto of = [&](const std::string& chain, const std::string& key) {
    return message(tls_server_options().certificate(chain, key));
  };
  const auto& chain = localhost.chain_file();
  const auto& key = localhost.key_file();
  EXPECT_THAT(of(none, key), AllOf(HasSubstr("the certificate " + none), HasSubstr("No such file")));
  EXPECT_THAT(of(chain, none), AllOf(HasSubstr("the key " + none), HasSubstr("No such file")));
  EXPECT_THAT(of(ca.directory(), key), AllOf(HasSubstr(ca.directory()), HasSubstr("Is a directory")));
  EXPECT_THAT(of(garbage, key), AllOf(HasSubstr(garbage), HasSubstr("there is no certificate in it")));
  EXPECT_THAT(of(broken, key), AllOf(HasSubstr(broken), HasSubstr("certificate 3 of it is broken")));
  EXPECT_THAT(of(chain, garbage), AllOf(HasSubstr(garbage), HasSubstr("there is no private key in it")));
  EXPECT_THAT(of(chain, chain), AllOf(HasSubstr(chain), HasSubstr("there is no private key in it")));
  EXPECT_THAT(of(key, key), AllOf(HasSubstr(key), HasSubstr("there is no certificate in it")));
  EXPECT_THAT(
      of(chain, second.key_file()),
      AllOf(HasSubstr(second.key_file()), HasSubstr("does not belong to the first certificate of " + chain)));
  EXPECT_THAT(message({}), HasSubstr("it needs a certificate"));
  EXPECT_THAT(message(files().client_certificates(client_certificates::required, "")),
              HasSubstr("needs a file of authorities"));
  EXPECT_THAT(message(files().client_certificates(client_certificates::required, garbage)),
              AllOf(HasSubstr("the authorities " + garbage), HasSubstr("there is no certificate in it")));
}

TEST_F(ServerTls, AnExpiredCertificateIsServedAndSaid) {
  const auto old = ca.issue({"localhost"}, certificate_options().valid(validity::expired));
  const tls_server tls = load(tls_server_options().certificate(old.chain_file(), old.key_file()));
  EXPECT_LT(tls.expires(), std::chrono::system_clock::now());
  http_server s(routes(), listening(tls));
  EXPECT_EQ(try_it(s.port(), {}), "https nobody 127.0.0.1");
  EXPECT_THAT(s.complaints(), ElementsAre(HasSubstr("a certificate has expired")));
}

TEST_F(ServerTls, OldVersionsAndWeakCiphersAreRefused) {
  const auto rsa = ca.issue({"rsa.test"}, certificate_options().rsa());
  auto options = files();
  options.certificate(rsa.chain_file(), rsa.key_file());
  http_server s(routes(), listening(load(options)));
  for (const int v : {TLS1_VERSION, TLS1_1_VERSION}) {
    tls_client_options how = version(v);
    how.ciphers = "ALL:@SECLEVEL=0";
    EXPECT_THAT(try_it(s.port(), how),
                AnyOf(HasSubstr("protocol version"), HasSubstr("unsupported protocol")))
        << v;
  }
  for (const char* weak :
       {"AES128-SHA", "AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384",
        "DHE-RSA-AES128-GCM-SHA256", "aNULL", "ECDHE-ECDSA-NULL-SHA"}) {
    tls_client_options how = version(TLS1_2_VERSION);
    how.ciphers = std::string(weak) + ":@SECLEVEL=0";
    for (const char* name : {"localhost", "rsa.test"}) {
      how.name = name;
      EXPECT_THAT(try_it(s.port(), how), HasSubstr("handshake failure")) << weak;
    }
  }
  for (const char* good : {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"}) {
    tls_client_options how = version(TLS1_2_VERSION);
    how.ciphers = good;
    how.name = "rsa.test";
    EXPECT_EQ(try_it(s.port(), how), "https nobody 127.0.0.1") << good;
  }
}

TEST_F(ServerTls, RenegotiationIsRefused) {
  http_server s(routes(), listening(load(files())));
  raw_client client(s.port());
  tls_layer& tls = secure(client, version(TLS1_2_VERSION));
  EXPECT_EQ(client.get("/").status, 200);
  EXPECT_EQ(SSL_renegotiate(tls.ssl()), 1);
  EXPECT_THAT(tls.handshake(), AnyOf(HasSubstr("no renegotiation"), HasSubstr("the end")));
  EXPECT_EQ(try_it(s.port(), {}), "https nobody 127.0.0.1");
}

TEST_F(ServerTls, ItSpeaksHttp11AndNothingElse) {
  http_server s(routes(), listening(load(files())));
  tls_client_options how;
  how.protocols = std::string("\x02h2\x08http/1.1", 12);
  raw_client client(s.port());
  tls_layer& tls = secure(client, how);
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(tls.ssl(), &chosen, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), size), "http/1.1");
  how.protocols = std::string("\x02h2", 3);
  EXPECT_THAT(try_it(s.port(), how), HasSubstr("no application protocol"));
}

TEST_F(ServerTls, PlainHttpIsToldWhatThePortSpeaks) {
  http_server s(routes(), listening(load(files())));
  for (int i = 0; i < 2; ++i) {
    raw_client client(s.port());
    const auto answer = client.get("/");
    EXPECT_EQ(answer.status, 400);
    EXPECT_THAT(answer.body, HasSubstr("https"));
    EXPECT_TRUE(client.is_closed());
  }
  EXPECT_TRUE(s.complaints().empty());
}

TEST_F(ServerTls, GarbageIsClosedAndSaidOnceAMinute) {
  http_server s(routes(), listening(load(files())));
  for (int i = 0; i < 20; ++i) {
    raw_client client(s.port());
    client.send(std::string("\x16\x03\x01\x00\x05hello", 10));
    EXPECT_THAT(client.read_to_end(), StartsWith("\x15")) << "an alert";
    raw_client noise(s.port());
    noise.send(std::string("\x00\xff\x80garbage", 10));
    noise.half_close();
    EXPECT_TRUE(noise.is_closed());
    const raw_client silent(s.port());
  }
  EXPECT_EQ(try_it(s.port(), {}), "https nobody 127.0.0.1");
  EXPECT_THAT(s.complaints(),
              ElementsAre(AllOf(StartsWith("127.0.0.1:"), HasSubstr("the TLS handshake failed: "))));
}

TEST_F(ServerTls, AHandshakeHasItsTime) {
  http_server s(routes(), listening(load(files())).handshake_timeout(1s));
  raw_client silent(s.port());
  raw_client half(s.port());
  half.send(std::string("\x16\x03\x01\x02", 4));
  EXPECT_TRUE(silent.is_closed());
  EXPECT_TRUE(half.is_closed());
  raw_client good(s.port());
  secure(good);
  std::this_thread::sleep_for(1500ms);  // that was the handshake's time, and not the request's
  EXPECT_EQ(good.get("/").status, 200);
}

TEST_F(ServerTls, ATimeMayBeWithoutAnEnd) {
  constexpr auto endless = curfew::clock::duration::max();
  http_server s(routes(), listening(load(files()))
                              .handshake_timeout(endless)
                              .header_timeout(endless)
                              .body_timeout(endless)
                              .idle_timeout(endless));
  raw_client client(s.port());
  std::this_thread::sleep_for(300ms);  // a tick of its clock, at least
  secure(client);
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(client.get("/").status, 200);
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(client.get("/").status, 200);
}

TEST_F(ServerTls, AShutdownEndsHandshakesAtOnce) {
  http_server s(routes(), listening(load(files())).handshake_timeout(10min).grace(10min));
  raw_client silent(s.port());
  raw_client half(s.port());
  half.send(std::string("\x16\x03\x01\x02", 4));
  EXPECT_EQ(try_it(s.port(), {}), "https nobody 127.0.0.1");  // both have been accepted before
  const auto begin = curfew::clock::now();
  const auto report = s.stop();
  EXPECT_LT(curfew::clock::now() - begin, 10s);
  EXPECT_TRUE(report.stuck.empty());
  EXPECT_TRUE(silent.is_closed());
  EXPECT_TRUE(half.is_closed());
}

TEST_F(ServerTls, SlowHandshakesHoldNobodyUp) {
  http_server s(routes(), listening(load(files())));
  std::vector<raw_client> slow;
  for (int i = 0; i < 200; ++i) {
    slow.emplace_back(s.port());
    slow.back().send(std::string("\x16\x03\x01\x02", 4));
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(try_it(s.port(), {}), "https nobody 127.0.0.1");
}

TEST_F(ServerTls, BytesMayComeOneByOne) {
  http_server s(routes(), listening(load(files())));
  for (const int v : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    raw_client client(s.port());
    auto made = std::make_unique<tls_layer>(client.socket(), version(v));
    made->send_in(1);
    ASSERT_EQ(made->handshake(), "");
    client.put(std::move(made));
    client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
    EXPECT_EQ(client.read_response().body, "hello");
    EXPECT_EQ(client.get("/").status, 200);
  }
}

TEST_F(ServerTls, AnUploadSurvivesChangesOfTheKey) {
  http_server s(routes(), listening(load(files())));
  raw_client client(s.port(), 4096);
  tls_layer& tls = secure(client, version(TLS1_3_VERSION));
  const std::string body = numbers(4U << 20);
  client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(body.size()) +
              "\r\n\r\n");
  std::string_view left = body;
  for (int i = 0; !left.empty(); ++i) {
    const auto now = std::min<std::size_t>(left.size(), 100'000);
    if (i % 5 == 1) tls.update_key(i % 2 == 1);
    client.send(left.substr(0, now));
    left.remove_prefix(now);
  }
  EXPECT_TRUE(client.read_response().body == body);
  EXPECT_EQ(client.get("/").status, 200);
}

TEST_F(ServerTls, ASlowReaderGetsEachByteOnce) {
  const std::string body = numbers(2U << 20);
  http_server s(
      [&](context, const request&) -> asio::awaitable<response> { co_return text(status::ok, body); },
      listening(load(files())));
  for (const int v : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    raw_client client(s.port(), 4096);
    secure(client, version(v));
    EXPECT_TRUE(client.get("/").body == body);
    EXPECT_TRUE(client.get("/").body == body) << "again, on the same connection";
  }
}

TEST_F(ServerTls, AClientThatTakesNothingIsGoneAfterItsTime) {
  ends ended;
  std::optional<on_done<std::function<void()>>> watch;
  http_server s(
      [&](context ctx, const request&) -> asio::awaitable<response> {
        watch.emplace(ctx, [&ended, ctx] { ended.add(ctx); });
        co_return text(status::ok, std::string(8U << 20, 'x'));
      },
      listening(load(files())).body_timeout(100ms));
  {
    raw_client client(s.port(), 4096);
    secure(client);
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_EQ(ended.wait()[0].second, errc::client_gone);
  }
  s.stop();
  watch.reset();
}

TEST_F(ServerTls, AHalfCloseMayBeAllowed) {
  event started;
  event go;
  ends ended;
  router all;
  all.get("/until", [&](context ctx, const request&) -> asio::awaitable<response> {
    started.set();
    while (!go.is_set()) std::ignore = co_await async_sleep_for(ctx, 1ms);
    co_return text(status::ok, ctx.err() ? "ended" : "alive");
  });
  all.get("/wait", [&](context ctx, const request&) -> asio::awaitable<response> {
    co_await async_wait(ctx.done());
    ended.add(ctx);
    co_return text(status::ok, "late");
  });
  http_server s(all, listening(load(files())).half_close_is_alive(true));
  raw_client client(s.port());
  secure(client);
  client.send("GET /until HTTP/1.1\r\nHost: t\r\n\r\nGET /until HTTP/1.1\r\nHost: t\r\n\r\n");
  client.half_close();
  ASSERT_TRUE(started.wait());
  EXPECT_THAT(try_it(s.port(), {}), HasSubstr("404")) << "behind the half-close, by the same thread";
  go.set();
  EXPECT_EQ(client.read_response().body, "alive");
  EXPECT_EQ(client.read_response().body, "alive");
  EXPECT_EQ(client.read_to_end(), "");

  raw_client other(s.port());
  secure(other);
  other.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
  other.cut();
  EXPECT_EQ(ended.wait()[0].second, errc::client_gone) << "without close_notify it is no half-close";
}

TEST_F(ServerTls, ARequestSentTogetherWithAHalfCloseIsAnswered) {
  http_server s(routes(), listening(load(files())));
  for (int i = 0; i < 20; ++i) {
    raw_client client(s.port());
    secure(client);
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n");
    client.half_close();
    EXPECT_EQ(client.read_response().status, 200);
    EXPECT_EQ(client.read_response().status, 200);
    EXPECT_EQ(client.read_to_end(), "");
  }
}

// In one segment: no event comes for the end alone.
TEST_F(ServerTls, AGoodbyeThatComesWithTheRequestEndsItsContext) {
  ends ended;
  router all;
  const auto wait = [&](context ctx, const request&) -> asio::awaitable<response> {
    co_await async_wait(ctx.done());
    ended.add(ctx);
    co_return text(status::ok, "late");
  };
  all.get("/", wait).post("/", wait);
  all.post(
      "/streamed",
      [&](context ctx, const request& r) -> asio::awaitable<response> {
        const auto reader = r.reader();
        std::ignore = co_await reader.async_read_all(ctx);  // all of it, or the end of the context
        co_await async_wait(ctx.done());
        ended.add(ctx);
        co_return text(status::ok, "late");
      },
      route_options().stream_body());
  http_server s(all, listening(load(files())));
  std::size_t count = 0;
  for (const int v : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const char* asked :
         {"GET / HTTP/1.1\r\nHost: t\r\n\r\n", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello",
          "POST /streamed HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"}) {
      raw_client client(s.port());
      tls_layer& tls = secure(client, version(v));
      std::string both = tls.encrypt(asked);  // in this order
      both += tls.goodbye();
      ASSERT_EQ(::send(client.socket(), both.data(), both.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(both.size()));
      EXPECT_EQ(ended.wait(++count).back().second, errc::client_gone) << asked;
      EXPECT_EQ(client.read_response().body, "late");
      EXPECT_TRUE(client.is_closed());
    }
  }
}

TEST_F(ServerTls, ClientsThatVanishLeaveNothing) {
  constexpr std::size_t count = 200;
  const auto before_all = tests::open_descriptors();
  std::atomic<std::size_t> running{0};
  std::atomic<std::size_t> ended{0};
  {
    http_server s(
        [&](context ctx, const request&) -> asio::awaitable<response> {
          ++running;
          co_await async_wait(ctx.done());
          if (ctx.cause() == errc::client_gone) ++ended;
          --running;
          co_return text(status::ok, "late");
        },
        listening(load(files())).threads(2));
    std::vector<raw_client> clients;
    for (std::size_t i = 0; i < count; ++i) {
      clients.emplace_back(s.port());
      secure(clients.back());
      clients.back().send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    ASSERT_TRUE(eventually([&] { return running == count; }));
    for (std::size_t i = 0; i < count; ++i) {
      if (i % 3 == 0) clients[i].reset();
      if (i % 3 == 1) clients[i].cut();
      if (i % 3 == 2) clients[i].close();
    }
    EXPECT_TRUE(eventually([&] { return ended == count && running == 0; })) << ended << ", " << running;
  }
  EXPECT_EQ(tests::open_descriptors(), before_all);
}

// The client's alerts, answers and keys may come while the handler runs: none of them is its end.
TEST_F(ServerTls, AChangeOfTheKeyIsNoEnd) {
  event started;
  event go;
  http_server s(
      [&](context ctx, const request&) -> asio::awaitable<response> {
        started.set();
        while (!go.is_set()) std::ignore = co_await async_sleep_for(ctx, 1ms);
        co_return text(status::ok, ctx.err() ? "ended" : "alive");
      },
      listening(load(files())));
  raw_client client(s.port());
  tls_layer& tls = secure(client, version(TLS1_3_VERSION));
  client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(started.wait());
  for (int i = 0; i < 20; ++i) {
    tls.update_key();
    EXPECT_EQ(tls.handshake(), "");  // sends it
  }
  client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  go.set();
  EXPECT_EQ(client.read_response().body, "alive");
  EXPECT_EQ(client.read_response().body, "alive");
}

TEST_F(ServerTls, StreamedBodiesComeAndGoPieceByPiece) {
  router all;
  all.post(
      "/",
      [](context, const request& r) -> asio::awaitable<response> {
        auto copy = [reader = r.reader()](context ctx, body_writer out) -> asio::awaitable<void> {
          for (;;) {
            auto piece = co_await reader.async_read(ctx);
            if (!piece || !*piece) co_return;
            auto sent = co_await out.async_write(ctx, **piece);
            if (!sent) co_return;
          }
        };
        co_return stream("text/plain", copy);
      },
      route_options().stream_body());
  http_server s(all, listening(load(files())));
  raw_client client(s.port());
  secure(client);
  client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello");
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_chunk(), "hello");
  client.send("again");
  EXPECT_EQ(client.read_chunk(), "again");
  EXPECT_EQ(client.read_chunk(), "");
}

// A body that ends with the connection: only close_notify says that it is whole.
TEST_F(ServerTls, ABodyUntilTheCloseEndsWithCloseNotifyIfItIsWhole) {
  const auto source = [](bool whole) {
    return [whole](context, const request&) -> asio::awaitable<response> {
      auto body = [whole](context ctx, body_writer out) -> asio::awaitable<void> {
        auto sent = co_await out.async_write(ctx, "part");
        EXPECT_TRUE(sent);
        if (!whole) throw std::runtime_error("lost");
      };
      co_return stream("text/plain", body);
    };
  };
  router all;
  all.get("/whole", source(true)).get("/cut", source(false));
  http_server s(all, listening(load(files())));
  raw_client whole(s.port());
  secure(whole);
  whole.send("GET /whole HTTP/1.0\r\n\r\n");
  EXPECT_EQ(whole.read_response().body, "part");
  raw_client cut(s.port());
  secure(cut);
  cut.send("GET /cut HTTP/1.0\r\n\r\n");
  EXPECT_THROW(cut.read_response(), std::system_error);
}

TEST_F(ServerTls, ItLiesBehindAProxyHeader) {
  auto options = listening(load(files()));
  options.listen("127.0.0.1:0", listen_options().tls(load(files())).proxy_protocol(true))
      .trusted_peers({"127.0.0.1"});
  http_server s(routes(), options);
  EXPECT_THAT(s.url(), StartsWith("https://"));
  constexpr std::string_view header = "PROXY TCP4 203.0.113.7 192.0.2.1 40312 443\r\n";
  {
    raw_client client(s.port());
    client.send(header);
    secure(client);
    EXPECT_EQ(client.get("/").body, "https nobody 203.0.113.7");
    EXPECT_EQ(client.get("/").body, "https nobody 203.0.113.7");
  }
  {
    raw_client client(s.port());
    for (const char c : header) client.send({&c, 1});
    secure(client);
    EXPECT_EQ(client.get("/").body, "https nobody 203.0.113.7");
  }
  raw_client plain(s.port());
  plain.send(std::string(header) + "GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(plain.read_response().status, 400);
  raw_client none(s.port());
  EXPECT_THROW(secure(none), std::exception);
}

TEST_F(ServerTls, AUnixSocketMayEncryptToo) {
  const std::string path = "@curfew-tls-" + std::to_string(::getpid());
  http_server s(routes(), server_options().listen("unix:" + path, listen_options().tls(load(files()))));
  auto client = raw_client::local(path);
  secure(client);
  EXPECT_EQ(client.get("/").body, "https nobody unix:");
}

}  // namespace
}  // namespace curfew::http
