#include "options.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <initializer_list>
#include <vector>

namespace curfew_dashboard {
namespace {

auto parse(std::initializer_list<const char*> words) {
  const std::vector<const char*> arguments(words);
  return parse_options(arguments);
}

front_options front_of(std::initializer_list<const char*> words) {
  return std::get<front_options>(parse(words).value());
}

std::string wrong(std::initializer_list<const char*> words) {
  const auto parsed = parse(words);
  return parsed ? "it is fine" : parsed.error();
}

TEST(Options, DefaultToThisMachineAlone) {
  const front_options options = front_of({});
  EXPECT_EQ(options.listen, "127.0.0.1:8080");
  EXPECT_EQ(options.roots, std::vector<std::string>{"/usr"});
  EXPECT_TRUE(options.sources.empty());
  EXPECT_TRUE(options.hosts.empty());
  EXPECT_TRUE(options.database.empty());
}

TEST(Options, TakeValuesAfterASpaceOrAnEqualsSign) {
  const front_options options = front_of({"--listen=[::1]:0", "--root", "/a", "--root=/b=c", "--source",
                                          "w=http://h/?x=1", "--host", "box.lan"});
  EXPECT_EQ(options.listen, "[::1]:0");
  EXPECT_EQ(options.roots, (std::vector<std::string>{"/a", "/b=c"}));
  ASSERT_EQ(options.sources.size(), 1U);
  EXPECT_EQ(options.sources[0].name, "w");
  EXPECT_EQ(options.sources[0].url, "http://h/?x=1");
  EXPECT_EQ(options.hosts, std::vector<std::string>{"box.lan"});
}

TEST(Options, TakeACertificateWithItsKey) {
  const front_options options = front_of({"--tls-certificate", "/c.pem", "--tls-key=/k.pem"});
  EXPECT_EQ(options.tls_certificate, "/c.pem");
  EXPECT_EQ(options.tls_key, "/k.pem");
  EXPECT_NE(wrong({"--tls-key", "/k.pem"}).find("go together"), std::string::npos);
  EXPECT_NE(wrong({"--tls-certificate", "/c.pem"}).find("go together"), std::string::npos);
}

TEST(Options, OfAServiceAreItsOwn) {
  const auto parsed = parse({"service", "packages", "--listen", "127.0.0.1:9", "--status=/x"});
  const auto& options = std::get<service_options>(parsed.value());
  EXPECT_EQ(options.name, "packages");
  EXPECT_EQ(options.listen, "127.0.0.1:9");
  EXPECT_EQ(options.status_file, "/x");
  EXPECT_TRUE(options.database.empty());
}

TEST(Options, TakeTheDatabaseOfThePackages) {
  EXPECT_EQ(front_of({"--database", "postgresql://app@box/app"}).database.url, "postgresql://app@box/app");
  const auto parsed = parse({"service", "packages", "--database=sqlite:/a.db"});
  EXPECT_EQ(std::get<service_options>(parsed.value()).database.url, "sqlite:/a.db");
  const std::string refused = wrong({"--database", "mysql://app:secret@box/app"});
  EXPECT_NE(refused.find("postgresql://USER@HOST/NAME"), std::string::npos);
  EXPECT_EQ(refused.find("secret"), std::string::npos);
}

TEST(Options, TakeTheRedisOfTheWorkers) {
  EXPECT_EQ(front_of({"--workers", "redis://127.0.0.1:6379/0"}).workers.url, "redis://127.0.0.1:6379/0");
  EXPECT_TRUE(front_of({}).workers.empty());
  const auto parsed = parse({"service", "disk", "--workers=unix:///run/redis?db=0"});
  EXPECT_EQ(std::get<service_options>(parsed.value()).workers.url, "unix:///run/redis?db=0");
  const std::string refused = wrong({"--workers", "http://app:secret@box"});
  EXPECT_NE(refused.find("redis://127.0.0.1:6379/0"), std::string::npos);
  EXPECT_EQ(refused.find("secret"), std::string::npos);
}

TEST(Options, FindUrlsInTheEnvironment) {
  ASSERT_EQ(::setenv("CURFEW_TEST_URL", "redis://:secret@box", 1), 0);
  const auto options = front_of({"--workers", "env:CURFEW_TEST_URL"});
  EXPECT_EQ(options.workers.url, "redis://:secret@box");
  EXPECT_EQ(options.workers.given, "env:CURFEW_TEST_URL") << "what the services are started with";
  const std::string refused = wrong({"--database=env:CURFEW_TEST_URL"});
  EXPECT_NE(refused.find("--database takes"), std::string::npos);
  EXPECT_EQ(refused.find("secret"), std::string::npos);
  ASSERT_EQ(::unsetenv("CURFEW_TEST_URL"), 0);
  EXPECT_EQ(wrong({"worker", "--redis", "env:CURFEW_TEST_URL"}),
            "--redis env:CURFEW_TEST_URL: there is no such variable in the environment");
}

TEST(Options, OfAWorkerAreItsOwn) {
  const auto parsed = parse({"worker", "--redis=redis://box", "--root", "/a", "--root", "/b", "--jobs", "3"});
  const auto& options = std::get<worker_options>(parsed.value());
  EXPECT_EQ(options.redis.url, "redis://box");
  EXPECT_EQ(options.roots, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(options.jobs, 3U);
  const auto least = parse({"worker", "--redis", "redis://box"});
  EXPECT_EQ(std::get<worker_options>(least.value()).roots, std::vector<std::string>{"/usr"});
  EXPECT_EQ(std::get<worker_options>(least.value()).jobs, 1U);
  EXPECT_NE(wrong({"worker"}).find("--redis URL"), std::string::npos);
  EXPECT_NE(wrong({"worker", "--redis", "box:6379"}).find("redis://"), std::string::npos);
  EXPECT_EQ(wrong({"worker", "--listen", "127.0.0.1:0"}), "there is no option --listen");
  for (const char* jobs : {"0", "65", "-1", "two", "2x"})
    EXPECT_NE(wrong({"worker", "--redis", "redis://box", "--jobs", jobs}).find("1 to 64"), std::string::npos);
}

TEST(Options, ShowHelpAndVersionWhereverTheyStand) {
  EXPECT_TRUE(std::holds_alternative<show_help>(parse({"--root", "/a", "--help"}).value()));
  EXPECT_TRUE(std::holds_alternative<show_help>(parse({"service", "disk", "-h"}).value()));
  EXPECT_TRUE(std::holds_alternative<show_version>(parse({"--version"}).value()));
  for (const char* name : {"--listen", "--root", "--source", "--host", "--database", "--status", "--proc",
                           "--workers", "--redis", "--jobs"}) {
    EXPECT_NE(help_text().find(name), std::string_view::npos) << name;
  }
}

TEST(Options, ThatMakeNoSenseAreNamed) {
  EXPECT_EQ(wrong({"--bogus"}), "there is no option --bogus");
  EXPECT_EQ(wrong({"disk"}), "what is disk?");
  EXPECT_EQ(wrong({"--listen"}), "option --listen needs a value");
  EXPECT_EQ(wrong({"--root="}), "option --root needs a value");
  EXPECT_NE(wrong({"--listen", "8080"}).find("ADDRESS:PORT"), std::string::npos);
  EXPECT_NE(wrong({"--listen", ":8080"}).find("ADDRESS:PORT"), std::string::npos);
  EXPECT_NE(wrong({"--listen", "localhost:http"}).find("ADDRESS:PORT"), std::string::npos);
  EXPECT_NE(wrong({"--source", "http://h/"}).find("NAME=URL"), std::string::npos);
  EXPECT_NE(wrong({"--source", "a/b=http://h/"}).find("NAME=URL"), std::string::npos);
  EXPECT_NE(wrong({"--source", "a=ftp://h/"}).find("http://"), std::string::npos);
  EXPECT_NE(wrong({"--source", "disk=http://h/"}).find("already"), std::string::npos);
  EXPECT_NE(wrong({"--source", "a=http://h/", "--source", "a=http://i/"}).find("already"), std::string::npos);
  EXPECT_NE(wrong({"service"}).find("vitals, packages or disk"), std::string::npos);
  EXPECT_NE(wrong({"service", "weather"}).find("vitals, packages or disk"), std::string::npos);
  EXPECT_EQ(wrong({"service", "disk", "--source", "a=http://h/"}), "there is no option --source");
}

}  // namespace
}  // namespace curfew_dashboard
