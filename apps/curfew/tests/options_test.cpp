#include "options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "source.hpp"

namespace curfew_program {
namespace {

using ::testing::HasSubstr;

std::expected<command, std::string> parse(std::initializer_list<const char*> words) {
  const std::vector<const char*> all(words);
  return parse_options(all);
}

TEST(ParseOptions, LsBecomesAQuery) {
  const auto made = parse({"ls", "--state", "zombie,told", "--name=a b", "--min-age", "2min", "--limit", "7",
                           "--check", "http://127.0.0.1:6060", "unix:/run/x.sock"});
  ASSERT_TRUE(made) << made.error();
  const auto& ls = std::get<ls_options>(*made);
  EXPECT_EQ(ls.query, "state=zombie%2Ctold&name=a%20b&min_age_ms=120000");
  EXPECT_EQ(ls.limit, 7U);
  EXPECT_TRUE(ls.check);
  EXPECT_FALSE(ls.json);
  EXPECT_EQ(ls.sources.size(), 2U);
}

TEST(ParseOptions, ShowAndCancelTakeAnIdFirst) {
  const auto shown = parse({"show", "0000000a00000003", "--stack", "http://h:1"});
  ASSERT_TRUE(shown) << shown.error();
  EXPECT_EQ(std::get<show_options>(*shown).id, "0000000a00000003");
  EXPECT_TRUE(std::get<show_options>(*shown).stack);
  const auto ended =
      parse({"cancel", "0000000a00000003", "--why", "stuck", "http://h:1", "--token-file", "/t"});
  ASSERT_TRUE(ended) << ended.error();
  EXPECT_EQ(std::get<cancel_options>(*ended).reason, "stuck");
  EXPECT_EQ(std::get<cancel_options>(*ended).token_file, "/t");
}

TEST(ParseOptions, SaysWhatMakesNoSense) {
  EXPECT_THAT(parse({}).error(), HasSubstr("--help"));
  EXPECT_THAT(parse({"lss"}).error(), HasSubstr("no command lss"));
  EXPECT_THAT(parse({"ls"}).error(), HasSubstr("which program"));
  EXPECT_THAT(parse({"ls", "--stat", "x", "http://h:1"}).error(), HasSubstr("no option --stat"));
  EXPECT_THAT(parse({"ls", "--state", "dead", "http://h:1"}).error(), HasSubstr("--state takes"));
  EXPECT_THAT(parse({"ls", "--min-age", "5", "http://h:1"}).error(), HasSubstr("--min-age takes"));
  EXPECT_THAT(parse({"ls", "--limit", "0", "http://h:1"}).error(), HasSubstr("--limit takes"));
  EXPECT_THAT(parse({"ls", "--json=yes", "http://h:1"}).error(), HasSubstr("takes no value"));
  EXPECT_THAT(parse({"ls", "--kind"}).error(), HasSubstr("needs a value"));
  EXPECT_THAT(parse({"show", "xyz", "http://h:1"}).error(), HasSubstr("which task"));
  EXPECT_THAT(parse({"cancel", "0000000a00000003", "http://h:1"}).error(), HasSubstr("say why"));
  EXPECT_THAT(parse({"top", "--token", "secret", "http://h:1"}).error(), HasSubstr("no option --token"));
}

TEST(ParseOptions, HelpIsThereForEachCommand) {
  for (const char* name : {"top", "ls", "show", "cancel"}) {
    const auto a = parse({name, "--help"});
    const auto b = parse({"help", name});
    ASSERT_TRUE(a && b);
    EXPECT_THAT(std::string(std::get<show_help>(*a).text), HasSubstr(std::string("Usage: curfew ") + name));
    EXPECT_EQ(std::get<show_help>(*a).text, std::get<show_help>(*b).text);
  }
}

TEST(ParseDuration, NeedsAUnit) {
  EXPECT_EQ(parse_duration("250ms"), 250U);
  EXPECT_EQ(parse_duration("1h"), 3'600'000U);
  EXPECT_FALSE(parse_duration("1"));
  EXPECT_FALSE(parse_duration("s"));
  EXPECT_FALSE(parse_duration("9999999h")) << "more than the console takes";
}

TEST(Source, IsAnAddressAMountOrAUnixSocket) {
  EXPECT_EQ(source::parse("http://127.0.0.1:6060/")->url, "http://127.0.0.1:6060");
  EXPECT_EQ(source::parse("127.0.0.1:6060")->url, "http://127.0.0.1:6060");
  EXPECT_EQ(source::parse("http://h:1/debug/curfew/")->url, "http://h:1/debug/curfew");
  const auto local = source::parse("unix:/run/x.sock:/debug/curfew");
  ASSERT_TRUE(local);
  EXPECT_EQ(local->unix_socket, "/run/x.sock");
  EXPECT_EQ(local->url, "http://localhost/debug/curfew");
  EXPECT_EQ(source::parse("unix:@shop")->url, "http://localhost");
}

TEST(Source, SaysWhatIsNone) {
  for (const char* wrong : {"shop", "ftp://h", "unix:", "unix:/run/x.sock:debug", "http://h:1/?x"}) {
    EXPECT_FALSE(source::parse(wrong)) << wrong;
  }
}

TEST(Source, ShowsNoPasswordAndNothingThatSteersATerminal) {
  EXPECT_EQ(source::parse("http://u:secret@h:1/x")->shown, "http://h:1/x");
  EXPECT_EQ(source::parse("unix:/\x1b[2J")->shown, "unix:/\\x1b[2J");
}

}  // namespace
}  // namespace curfew_program
